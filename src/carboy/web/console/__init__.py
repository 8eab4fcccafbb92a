"""The console: pages in a browser to see and operate a service, and the toolkit that modules build pages with.

A module declares its pages as `pages`, a tuple of `carboy.web.Page`; what they are made with is at `carboy.web`, too.
Nothing of this package is loaded before the first request to the console, but for `mounting`.
"""
