"""A mailbox for everybody: takes every letter by SMTP, keeps it, and shows it on a web page."""
