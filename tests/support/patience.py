"""How long tests wait for what has to come; a machine that is busy is no failure."""

PATIENCE_SECONDS = 300
