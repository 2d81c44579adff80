"""How one example is examined: facts and verdicts, their index, the processes that decode."""
