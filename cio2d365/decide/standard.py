"""Standard columns of Dynamics that common attribute names belong to, as data (SR-039 … SR-042, SR-065).

Names are compared as words (`names.slug`), so `First Name`, `firstName` and `first_name` are the same here. Which of
the columns exist, and how long they are, is read from the target's own metadata, never from this table.
"""

from __future__ import annotations

from typing import NamedTuple


class Standard(NamedTuple):
    """One standard column: the tables that may have it and the names that mean it, best first."""

    column: str
    tables: tuple[str, ...]
    names: tuple[str, ...]


PERSON_TABLES = ("contact", "lead")
ACCOUNT_TABLES = ("account",)

PERSON = (
    Standard("firstname", PERSON_TABLES, ("first_name", "firstname", "given_name", "fname", "forename")),
    Standard("lastname", PERSON_TABLES, ("last_name", "lastname", "surname", "family_name", "lname")),
    Standard("middlename", PERSON_TABLES, ("middle_name", "middlename")),
    Standard("nickname", PERSON_TABLES, ("nickname", "nick_name")),
    Standard("salutation", PERSON_TABLES, ("salutation", "name_prefix", "honorific")),
    Standard("jobtitle", PERSON_TABLES, ("job_title", "jobtitle", "title", "position", "job_position")),
    Standard("department", PERSON_TABLES, ("department",)),
    Standard("companyname", ("lead",), ("company", "company_name", "organization", "organisation", "employer")),
    Standard("telephone1", PERSON_TABLES, ("phone", "phone_number", "telephone", "work_phone", "business_phone")),
    Standard(
        "mobilephone", PERSON_TABLES, ("mobile", "mobile_phone", "mobile_number", "cell", "cell_phone", "cellphone")
    ),
    Standard("telephone2", PERSON_TABLES, ("home_phone", "phone_2", "phone2")),
    Standard("fax", PERSON_TABLES, ("fax", "fax_number")),
    Standard("websiteurl", PERSON_TABLES, ("website", "website_url", "web_site", "homepage", "url")),
    Standard("birthdate", PERSON_TABLES, ("birthday", "birthdate", "birth_date", "date_of_birth", "dob")),
    Standard("gendercode", PERSON_TABLES, ("gender", "sex")),
    Standard("address1_line1", PERSON_TABLES, ("street", "address", "address_line_1", "address1", "street_address")),
    Standard("address1_line2", PERSON_TABLES, ("address_line_2", "address2")),
    Standard("address1_city", PERSON_TABLES, ("city", "town")),
    Standard("address1_stateorprovince", PERSON_TABLES, ("state", "province", "state_province", "region")),
    Standard("address1_postalcode", PERSON_TABLES, ("postcode", "postal_code", "zip", "zip_code", "zipcode")),
    Standard("address1_country", PERSON_TABLES, ("country", "country_name", "country_code")),
)

ACCOUNT = (
    Standard("name", ACCOUNT_TABLES, ("name", "company_name", "company", "account_name", "organization_name")),
    Standard("websiteurl", ACCOUNT_TABLES, ("domain", "website", "website_url", "url", "homepage")),
    Standard("emailaddress1", ACCOUNT_TABLES, ("email", "email_address", "contact_email")),
    Standard("telephone1", ACCOUNT_TABLES, ("phone", "phone_number", "telephone", "main_phone")),
    Standard("fax", ACCOUNT_TABLES, ("fax", "fax_number")),
    Standard(
        "numberofemployees", ACCOUNT_TABLES, ("employees", "employee_count", "number_of_employees", "headcount", "size")
    ),
    Standard("revenue", ACCOUNT_TABLES, ("annual_revenue", "revenue")),
    Standard("industrycode", ACCOUNT_TABLES, ("industry",)),
    Standard("tickersymbol", ACCOUNT_TABLES, ("ticker", "ticker_symbol", "stock_symbol")),
    Standard("description", ACCOUNT_TABLES, ("description", "about")),
    Standard("address1_line1", ACCOUNT_TABLES, ("street", "address", "address_line_1", "address1", "street_address")),
    Standard("address1_line2", ACCOUNT_TABLES, ("address_line_2", "address2")),
    Standard("address1_city", ACCOUNT_TABLES, ("city", "town")),
    Standard("address1_stateorprovince", ACCOUNT_TABLES, ("state", "province", "state_province", "region")),
    Standard("address1_postalcode", ACCOUNT_TABLES, ("postcode", "postal_code", "zip", "zip_code", "zipcode")),
    Standard("address1_country", ACCOUNT_TABLES, ("country", "country_name", "country_code")),
)

LIFECYCLE = ("lifecycle_stage", "lifecyclestage")
"""Names whose values go verbatim to `<prefix>_lifecyclestage` (SR-133, I-22)."""

OBJECT_NAME = ("name", "title", "label", "display_name")
"""Attribute names that name an object of a custom type, best first."""

OWN_COLUMNS = frozenset(
    {
        "cio_anonymous_event",
        "cio_anonymous_eventid",
        "cio_anonymous_id",
        "cio_attributes",
        "cio_cio_id",
        "cio_company_id__c",
        "cio_event",
        "cio_event_name",
        "cio_event_timestamp",
        "cio_event_type",
        "cio_eventid",
        "cio_member_status",
        "cio_name",
        "cio_object_id",
        "cio_object_type",
        "cio_origin",
        "cio_person_id",
        "cio_properties",
        "cio_source_id",
        "cio_source_key",
        "cio_user_id",
        "cio_user_id__c",
    }
)
"""Logical names the migration's own columns use on some table; no source field gets one of them."""
