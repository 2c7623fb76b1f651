"""`python -m surnn_server`: settings come from the environment."""

from surnn_server.serve import run
from surnn_server.settings import Settings

if __name__ == "__main__":
    run(Settings())
