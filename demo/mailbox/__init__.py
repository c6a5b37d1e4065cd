"""A mailbox for everybody: takes every e-mail by SMTP, keeps it, and shows it on a web page."""
