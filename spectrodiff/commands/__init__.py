"""Commands: all flags, all gin, all printing. The rest of the library knows neither."""
