"""AWS Lambda: events become WSGI requests and function calls, and answers become what each event wants.

`event_types` distinguishes events; `rest_v1`, `http_v2` and `alb` turn HTTP events into environs and
`answers` turns responses back;
`handler` is the edge that runs the application.
"""
