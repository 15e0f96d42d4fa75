"""Talking with workflows: messages, events and streams; one file for each, both ends.

A write in a workflow's own code is recorded with its checkpoint in one transaction. In the body of a step it is written
at once, and a step that is retried does not write it twice. Outside workflows it is just written.
"""
