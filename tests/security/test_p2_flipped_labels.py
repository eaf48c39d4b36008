"""Row P2: an attacker who flips a tenth of all labels, blind to the arm, neither frames a candidate nor hides one."""

from tests.core.test_evidence_simulation import Lives, always, ever_demoted, life, looks_of, within_noise

LIVES = 200
WRONG, WORSE, FLIPPED = 0.20, 0.25, 0.10
REQUESTS = 40_000


def flipped(rate: float) -> float:
    """How often an answer looks wrong once a tenth of the labels lie."""
    return rate * (1 - FLIPPED) + (1 - rate) * FLIPPED


def demoted(stable: float, candidate: float, seed: int) -> float:
    looks = life(LIVES, looks_of(REQUESTS, 500), always(0.5), always(stable), always(candidate), seed)
    return ever_demoted(Lives(LIVES), looks)


def test_an_equal_candidate_is_not_framed() -> None:
    assert within_noise(demoted(flipped(WRONG), flipped(WRONG), seed=21), LIVES)


def test_a_worse_candidate_is_still_found() -> None:
    honest, attacked = demoted(WRONG, WORSE, seed=22), demoted(flipped(WRONG), flipped(WORSE), seed=23)
    assert honest >= 0.95
    assert attacked >= honest - 0.10
