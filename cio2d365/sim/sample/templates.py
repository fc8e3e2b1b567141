"""The texts of messages, with the Liquid that a hand-over has to explain."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Letter:
    """A message as its author wrote it."""

    name: str
    subject: str
    body: str
    preheader: str = ""


STEPS = (
    (
        Letter(
            "Welcome",
            "Welcome{% if customer.first_name %}, {{customer.first_name}}{% endif %}!",
            "<p>{{snippets.greeting}}</p><p>You are on <b>{{ customer.plan | capitalize }}</b>.</p>{{snippets.footer}}",
            "Three steps to begin",
        ),
        Letter(
            "Willkommen",
            "Willkommen{% if customer.first_name %}, {{customer.first_name}}{% endif %}!",
            "<p>Schön, dass Sie da sind. Ihr Tarif: {{ customer.plan }}.</p>{{snippets.footer}}",
        ),
    ),
    (
        Letter(
            "Second step",
            "Your trial ends {{ event.trial_ends_at | date: '%B %-d' }}",
            "{% for tag in customer.tags %}<li>{{tag}}</li>{% endfor %}<p>Seats: {{ event.seats | default: 1 }}</p>"
            "{% if customer.industry == 'Retail' %}<p>Shops like yours …</p>"
            "{% else %}<p>Teams like yours …</p>{% endif %}",
        ),
        Letter("Zweiter Schritt", "Ihre Testphase endet bald", "<p>Plätze: {{ event.seats | default: 1 }}</p>"),
    ),
    (
        Letter(
            "Renewal",
            "{{ objects.contract.contract_number }} is due",
            "{% assign days = objects.contract.end_date | date: '%s' %}<p>{{days}} {{journey.entered_at}}</p>"
            "<a href='https://app.sample.example/?u={{customer.id | url_encode}}'>Renew</a>",
        ),
        Letter("Verlängerung", "Ihr Vertrag läuft aus", "<p>{{ objects.contract.name }}</p>"),
    ),
)
NEWSLETTERS = tuple(
    Letter(
        f"News {number}: {topic}",
        f"{topic} – our news no. {number}",
        f"<h1>{topic}</h1><p>Dear {{{{customer.first_name | default: 'reader'}}}},</p><p>{{% unsubscribe_url %}}</p>",
        f"All about {topic.lower()}",
    )
    for number, topic in enumerate(
        (
            "Dashboards",
            "Faster search",
            "Żółte karty",
            "Summer school",
            "Data residency",
            "Gantt charts",
            "Webhooks",
            "Trade fair",
            "<script>alert(1)</script>",
            "Year in review",
            "Prices 2026",
            "New API",
        ),
        start=1,
    )
)
TRANSACTIONAL = (
    Letter("Password reset", "Reset your password", "<p>Code: {{trigger.reset_code}}</p><p>{{customer.email}}</p>"),
    Letter(
        "Receipt",
        "Receipt {{trigger.invoice.number}}",
        "{% for line in trigger.invoice.lines %}<tr><td>{{line.name}}</td><td>{{line.total | money}}</td></tr>"
        "{% endfor %}"
        "<p>Sum: {{trigger.invoice.total}} {{trigger.invoice.currency | upcase}}</p>{{snippets.signature}}",
    ),
    Letter(
        "Team invitation", "{{trigger.inviter}} invites you", "<a href='{{trigger.link}}'>Join {{trigger.team}}</a>"
    ),
    Letter("Sign-in code", "Your code: {{trigger.code}}", "{{trigger.code}} is valid for {{trigger.minutes}} minutes"),
    Letter(
        "Weekly digest",
        "Your week",
        "{% if trigger.items.size > 0 %}{% for item in trigger.items limit: 5 %}{{item.title}}{% endfor %}{% else %}"
        "{% for e in collections.upcoming_events %}{{e.eventName}}{% endfor %}{% endif %}",
    ),
)
