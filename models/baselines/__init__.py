"""Simple models beside each network: what its examples give without one."""
