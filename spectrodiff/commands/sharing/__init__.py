"""Commands that exchange models: `fetch` takes published ones, `push` publishes one."""
