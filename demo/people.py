"""Made-up people: names by country, and the currency that they pay in."""

from dataclasses import dataclass
from random import Random

# Country: share of the members, currency, language, given names, family names.
COUNTRIES = {
    "GB": (
        44,
        "GBP",
        "en",
        (
            "Alice Amir Beth Callum Daniel Eleanor Fatima George Hannah Imogen Jack Kate Liam Maya "
            "Niamh Oliver Priya Ravi Sophie Thomas Umar Violet William Yasmin"
        ),
        (
            "Ahmed Baker Clarke Davies Edwards Fletcher Green Harris Hughes Iqbal Jones Khan Lewis "
            "Morgan Patel Reed Shaw Taylor Walker Wright"
        ),
    ),
    "IE": (
        9,
        "EUR",
        "en",
        "Aoife Brian Ciara Cormac Deirdre Eoin Fionn Grainne Niall Orla Roisin Sean",
        "Brennan Byrne Daly Doyle Farrell Kelly Lynch Murphy Nolan Walsh",
    ),
    "DE": (
        12,
        "EUR",
        "en",
        "Anna Bernd Clara Dieter Elif Felix Greta Hannes Ida Jonas Katrin Lukas Mina Nils",
        "Bauer Fischer Hoffmann Keller Krause Lang Neumann Schulz Vogel Yilmaz",
    ),
    "FR": (
        7,
        "EUR",
        "en",
        "Adrien Camille Chloe Emile Ines Jules Lea Manon Nadia Theo",
        "Bernard Dubois Fontaine Garnier Lambert Martin Moreau Petit Roux",
    ),
    "NL": (
        5,
        "EUR",
        "en",
        "Anouk Bram Daan Femke Joost Lotte Pieter Sanne",
        "Bakker Bos Dekker Jansen Mulder Smit Visser",
    ),
    "US": (
        14,
        "USD",
        "en",
        "Aaron Brooke Carlos Denise Ethan Grace Hector Julia Kevin Laura Miguel Nora Paul Rachel",
        "Adams Brooks Chen Diaz Foster Garcia Howard Kim Lopez Miller Nguyen Parker Stone",
    ),
    "CA": (
        4,
        "USD",
        "en",
        "Chantal Devon Emily Marc Noah Simone",
        "Campbell Gagnon Leblanc MacDonald Singh Tremblay",
    ),
    "UA": (
        5,
        "EUR",
        "uk",
        "Andrii Bohdan Daryna Hanna Iryna Kateryna Marko Nazar Olena Oksana Taras Yuliia",
        "Bondar Hrytsenko Koval Kravets Lysenko Melnyk Savchenko Shevchuk Tkachenko",
    ),
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is or was a member."""

    name: str
    email: str
    country: str
    currency: str
    language: str


def make_person(random: Random, number: int) -> Person:
    """One more person; ``number`` keeps the address their own."""
    codes = list(COUNTRIES)
    country = random.choices(codes, [COUNTRIES[code][0] for code in codes])[0]
    _, currency, language, given, family = COUNTRIES[country]
    first, last = random.choice(given.split()), random.choice(family.split())
    host = random.choice(("example.org", "example.com", "example.net"))
    email = f"{first}.{last}.{number}@{host}".lower()
    return Person(f"{first} {last}", email, country, currency, language)
