"""`JOBS_ENGINE=sqs`: work goes to a queue, and comes back as an event that Lambda calls us with.

With a database a message names a row, and the row is the truth. Without one the message is the work itself.
`messages` is what is sent; `queue` sends; `engine` runs what comes back.
"""

from carboy.jobs.sqs.engine import ClaimCheck, SqsEngine

__all__ = ["ClaimCheck", "SqsEngine"]
