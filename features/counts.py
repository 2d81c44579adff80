"""Choose which values a model knows, by how often they occur."""

from collections import Counter


def choose(counts: Counter[str], min_count: int = 1, max_size: int | None = None) -> list[str]:
    """Choose a vocabulary: the most frequent tokens first, equal ones by their characters.

    Args:
        counts: of every token.
        min_count: rarer ones are unknown tokens.
        max_size: most tokens that are known; None for all.
    """
    frequent = [(token, number) for token, number in counts.items() if number >= min_count]
    return [token for token, _ in sorted(frequent, key=lambda pair: (-pair[1], pair[0]))][:max_size]
