"""Codebooks whose sum is a vector: k-means of the residues, then fitted together. torch."""

from dataclasses import dataclass

import torch

BEAM = 8
ROUNDS = 12  # of k-means
RIDGE = 0.02
PART = 1024  # rows that are searched at a time


@dataclass(slots=True)
class Codebooks:
    """`books` `[K][card, D]`; the first vector of each is zero, and silence is all zeros."""

    books: list[torch.Tensor]

    @staticmethod
    def of(vectors: torch.Tensor, count: int, card: int) -> "Codebooks":
        """Return codebooks by k-means of the vectors `[N, D]`, then of each book's residues."""
        books: list[torch.Tensor] = []
        rest = vectors.clone()
        for _ in range(count):
            books.append(k_means(rest, card))
            rest = rest - books[-1][torch.cdist(rest, books[-1]).argmin(dim=1)]
        return Codebooks(books)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the vectors `[N, D]` of codes `[N, K]`."""
        return sum((book[codes[:, n]] for n, book in enumerate(self.books)), torch.zeros(()))

    def nearest(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return codes `[N, K]` as Mimi finds them: one book after the other."""
        codes: list[torch.Tensor] = []
        for book in self.books:
            far = book.square().sum(dim=1) - 2 * vectors @ book.T
            codes.append(far.argmin(dim=1))
            vectors = vectors - book[codes[-1]]
        return torch.stack(codes, dim=1)

    def best(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return codes `[N, K]` by a search over several paths."""
        return torch.cat([self._best(part) for part in vectors.split(PART)])

    def _best(self, vectors: torch.Tensor) -> torch.Tensor:
        rest, codes = vectors[:, None], torch.zeros(len(vectors), 1, 0, dtype=torch.long)
        rows = torch.arange(len(vectors))[:, None]
        for book in self.books:
            far = rest.square().sum(-1, keepdim=True) + book.square().sum(1) - 2 * rest @ book.T
            found = far.flatten(1).topk(min(BEAM, far[0].numel()), largest=False).indices
            way, code = found // len(book), found % len(book)
            rest = rest[rows, way] - book[code]
            codes = torch.cat([codes[rows, way], code[..., None]], dim=-1)
        return codes[:, 0]

    def fit(self, vectors: torch.Tensor, rounds: int) -> torch.Tensor:
        """Fit all books to the vectors together; return the vectors' codes `[N, K]`."""
        codes = self.best(vectors)
        for _ in range(rounds):
            self._solve(vectors, codes)
            again = self.best(vectors)
            better = self._error(vectors, again) < self._error(vectors, codes)
            codes = torch.where(better[:, None], again, codes)
        return codes

    def _error(self, vectors: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        return (vectors - self.decode(codes)).square().sum(dim=1)

    def _solve(self, vectors: torch.Tensor, codes: torch.Tensor) -> None:
        """Return the books with the least error for these codes; zero vectors stay zero."""
        count, card = len(self.books), len(self.books[0])
        used = torch.zeros(len(vectors), count * card)
        used[torch.arange(len(vectors))[:, None], codes + torch.arange(count) * card] = 1
        used[:, ::card] = 0
        gram = used.T @ used + RIDGE * torch.eye(count * card)
        left = used.T @ (vectors - self.decode(codes))
        change = torch.linalg.solve(gram, left)
        self.books = [
            book + part for book, part in zip(self.books, change.split(card), strict=True)
        ]


def k_means(vectors: torch.Tensor, card: int) -> torch.Tensor:
    """Return centroids `[card, D]`, of which the first is zero."""
    chance = torch.Generator().manual_seed(0)
    centroids = vectors[torch.randperm(len(vectors), generator=chance)[:card]].clone()
    for _ in range(ROUNDS):
        nearest = torch.cdist(vectors, centroids).argmin(dim=1)
        sums = torch.zeros_like(centroids).index_add_(0, nearest, vectors)
        counts = torch.bincount(nearest, minlength=card)[:, None]
        others = vectors[torch.randint(len(vectors), (card,), generator=chance)]
        centroids = torch.where(counts == 0, others, sums / counts.clamp(min=1))
        centroids[0] = 0
    return centroids
