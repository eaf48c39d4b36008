"""Row P2: an attacker who flips a tenth of all labels, blind to the arm, neither frames a candidate nor hides one."""

from tests.core.test_evidence_simulation import Lives, always, ever_demoted, life, looks_of, within_noise
from tests.security.form import Form

LIVES = 200
WRONG, WORSE, FLIPPED = 0.20, 0.25, 0.10
REQUESTS = 40_000


def flipped(rate: float) -> float:
    """How often an answer looks wrong once a tenth of the labels lie."""
    return rate * (1 - FLIPPED) + (1 - rate) * FLIPPED


def demoted(stable: float, candidate: float, seed: int) -> float:
    looks = life(LIVES, looks_of(REQUESTS, 500), always(0.5), always(stable), always(candidate), seed)
    return ever_demoted(Lives(LIVES), looks)


def test_an_equal_candidate_is_not_framed(form: Form) -> None:
    framed = demoted(flipped(WRONG), flipped(WRONG), seed=21)
    form.note(f"{framed:.1%} of {LIVES} equal candidates demoted", "<= 5 %, give or take the noise of 200")
    assert within_noise(framed, LIVES)


def test_a_worse_candidate_is_still_found(form: Form) -> None:
    honest, attacked = demoted(WRONG, WORSE, seed=22), demoted(flipped(WRONG), flipped(WORSE), seed=23)
    form.note(f"{attacked:.1%} of {LIVES} worse ones found, {honest:.1%} without the attack", "at most 10 points fewer")
    assert honest >= 0.95
    assert attacked >= honest - 0.10
