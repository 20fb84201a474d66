"""Failures that a person can mend, each with the exit code of its kind.

The message of every error is a sentence for the person at the terminal: what is wrong,
where, what was expected and what to do. The commands print it without a traceback.
"""


class UserError(Exception):
    """Something the user can mend; ``exit_code`` is what the command returns."""

    exit_code = 1


class UsageError(UserError):
    """The options contradict each other or have a value out of range."""

    exit_code = 2


class DataError(UserError):
    """Images, masks, lists or groups are missing, damaged or do not fit together."""

    exit_code = 3


class RunError(UserError):
    """A run folder, checkpoint or genotype cannot be read, written or continued."""

    exit_code = 4


class TrainingError(UserError):
    """Training cannot go on, for instance because a loss is not a number."""

    exit_code = 5


class Interrupted(UserError):
    """The user or the system asked the run to stop; its state was saved."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def is_out_of_memory(error: Exception) -> bool:
    """Whether Python, or torch's allocator, has said that there is no more memory."""
    allocator = ("can't allocate memory", "out of memory")
    return isinstance(error, MemoryError) or any(text in str(error) for text in allocator)
