"""Words that reach the templates as values, marked for translation: states, and what errors say."""

from carboy.web.pages import mark

WORDS = (
    mark("queued"), mark("running"), mark("done"), mark("dead"), mark("accepted"), mark("copied"), mark("archived"),
    mark("off"), mark("pending"), mark("missing"), mark("kept"), mark("sending"), mark("sent"), mark("delivered"),
    mark("undelivered"), mark("failed"), mark("unknown"), mark("scheduled"), mark("held"), mark("canceled"),
    mark("opted_out"), mark("expired"), mark("refused"), mark("braked"), mark("account"), mark("unsupported"),
    mark("throttled"), mark("not_sent"), mark("waiting"), mark("delivering"), mark("failing"),
    mark("active"), mark("revoked"), mark("paused"), mark("open"), mark("closed"), mark("half-open"),
    mark("Bad Request"), mark("Unauthorized"), mark("Forbidden"), mark("Not Found"), mark("Method Not Allowed"),
    mark("Conflict"), mark("Too Many Requests"), mark("Internal Server Error"), mark("Service Unavailable"),
    mark("Unprocessable Entity"), mark("Not Acceptable"), mark("Unsupported Media Type"),
    mark("there is nothing at this address"),
    mark("this address does not take this method"),
    mark("the form is too old, or was not made here; load the page again and repeat"),
    mark("too many failed logins from this address"),
    mark("too many requests"),
    mark("a session or a key is needed"),
    mark("there is no such job"),
    mark("there is no such key"),
    mark("only a job that waits can be cancelled"),
    mark("only a job that is done or dead can be deleted"),
    mark("the service failed; its log tells why, under this request's id"),
    mark("a service that this one needs did not do its part; try again later"),
    mark("the login is too old, or began in another browser; begin again"),
    mark("the login began in another browser; begin again"),
    mark("the identity provider refused the login"),
    mark("the identity provider does not answer as it should"),
    mark("the ID token of the identity provider is not valid"),
    mark("CONSOLE_ROLES gives this person no scope"),
    mark("instance folder"), mark("database"), mark("database TLS"), mark("migrations"), mark("jobs"), mark("clock"),
    mark("secrets"), mark("job engine"), mark("object store"), mark("sms providers"), mark("it answers"),
)  # fmt: skip
"""Only looked at by the extraction of texts."""
