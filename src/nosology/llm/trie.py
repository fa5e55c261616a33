"""What an answer may be made of: a trie over the codes' tokens, and the state of an answer that is being written.

    answer = end | item (separator item)* end

Every item is the tokens of one code; no code comes twice. With ``in_order``, items come in the order of the training
targets, so that every set of codes is exactly one answer and the probability of the answer is that of the set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from nosology.errors import ConfigError

_ROOT = 0
_DONE = -1_000_000_000


class State(NamedTuple):
    """How far an answer has come.

    Args:
        node: of the trie; below 0: inside a separator, or done.
        used: a bit for each place in the order whose code has been written.
        codes: places of the codes written, in their order.
    """

    node: int = _ROOT
    used: int = 0
    codes: tuple[int, ...] = ()

    @property
    def done(self) -> bool:
        """Whether the end was written."""
        return self.node == _DONE


class CodeTrie:
    """The tokens that may come next.

    Args:
        items: tokens of each code, by its place in the order.
        separator: tokens between two codes.
        end: the token that ends an answer.
        in_order: a code may only be followed by codes of later places.

    Raises:
        ConfigError: two codes have the same tokens, or a code goes on with the token that ends it.
    """

    def __init__(self, items: Sequence[Sequence[int]], separator: Sequence[int], end: int, *, in_order: bool) -> None:
        self._separator, self._end, self._in_order = tuple(separator), end, in_order
        self._children: list[dict[int, int]] = [{}]
        self._below = [0]
        self._place = [-1]
        self._all = (1 << len(items)) - 1
        for place, item in enumerate(items):
            self._add(place, item)
        stops = {end, self._separator[0]}
        clashes = any(
            self._place[node] >= 0 and stops & children.keys() for node, children in enumerate(self._children)
        )
        if clashes or stops & self._children[_ROOT].keys() or end == self._separator[0]:
            raise ConfigError("the tokenizer cannot tell where a code ends: a code goes on with the separator's token")

    def _add(self, place: int, item: Sequence[int]) -> None:
        node = _ROOT
        for token in item:
            if token not in self._children[node]:
                self._children[node][token] = len(self._children)
                self._children.append({})
                self._below.append(0)
                self._place.append(-1)
            node = self._children[node][token]
            self._below[node] |= 1 << place
        if node == _ROOT or self._place[node] >= 0:
            raise ConfigError("the tokenizer gives two codes of the label list the same tokens; use another tokenizer")
        self._place[node] = place

    @property
    def start(self) -> State:
        """Nothing has been written."""
        return State()

    def allowed(self, state: State) -> list[int]:
        """The tokens that may come next; none where the answer is done."""
        if state.done:
            return []
        if state.node < 0:
            return [self._separator[-state.node]]
        free = self._free(state)
        tokens = [token for token, child in self._children[state.node].items() if self._below[child] & free]
        place = self._place[state.node]
        if state.node == _ROOT:
            return tokens if state.codes else [*tokens, self._end]
        if place >= 0 and free >> place & 1:
            tokens.append(self._end)
            if self._free(self._with(state, place)):
                tokens.append(self._separator[0])
        return tokens

    def advance(self, state: State, token: int) -> State:
        """The state after a token that is allowed."""
        if state.node < 0:
            passed = 1 - state.node
            return state._replace(node=_ROOT if passed == len(self._separator) else -passed)
        child = self._children[state.node].get(token)
        if child is not None:
            return state._replace(node=child)
        if state.node != _ROOT:
            state = self._with(state, self._place[state.node])
        if token == self._end:
            return state._replace(node=_DONE)
        return state._replace(node=-1 if len(self._separator) > 1 else _ROOT)

    def _free(self, state: State) -> int:
        """A bit for each place whose code may still come."""
        free = self._all & ~state.used
        if self._in_order and state.codes:
            first = state.codes[-1] + 1
            free = free >> first << first
        return free

    @staticmethod
    def _with(state: State, place: int) -> State:
        return state._replace(used=state.used | 1 << place, codes=(*state.codes, place))

    def allowed_after(self, tokens: Sequence[int]) -> list[int]:
        """The tokens that may follow an answer's first tokens; just the end after one that is done or not allowed."""
        state = self.start
        for token in tokens:
            if token not in self.allowed(state):
                return [self._end]
            state = self.advance(state, token)
        return self.allowed(state) or [self._end]


def allowed_tokens_function(trie: CodeTrie, prompt_tokens: int) -> Callable[[int, Sequence[int]], list[int]]:
    """``prefix_allowed_tokens_fn`` of transformers' ``generate``.

    Args:
        trie: of the answers.
        prompt_tokens: tokens before the answer: the prompt's of a decoder alone, 1 of an encoder-decoder.
    """

    def allowed(row: int, tokens: Sequence[int]) -> list[int]:
        ids = [int(token) for token in tokens]
        return trie.allowed_after(ids[prompt_tokens:])

    return allowed
