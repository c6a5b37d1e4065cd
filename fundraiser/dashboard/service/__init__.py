"""Staff pages for whoever is on call: switches, what fails and what to do, Stripe's events."""
