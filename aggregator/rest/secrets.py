"""How the secrets of API clients are kept."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class RandomSecretHasher(PBKDF2PasswordHasher):
    """For secrets of 256 random bits, which nobody guesses however quick a guess is.

    Stretching, which people's passwords need, would only let anybody keep the site busy by asking for tokens: 1,000
    rounds take under a millisecond, a password's 1,000,000 about half a second.
    """

    algorithm = "pbkdf2_sha256_random"
    iterations = 1_000
