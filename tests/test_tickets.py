"""What lets an operator's own requests in without a key, and nobody else's."""

from __future__ import annotations

from llmitm.exchange import ClientRequest, HeldBody
from llmitm.tickets import HEADER, Ticket, Tickets


def request_with(*words: str) -> ClientRequest:
    return ClientRequest(
        id="llmitm-1",
        method="POST",
        target=b"/v1/chat/completions",
        headers=((b"accept", b"*/*"), *((HEADER.title(), word.encode()) for word in words)),
        body=HeldBody(),
        client="127.0.0.1",
    )


def test_a_ticket_counts_once_and_goes_no_further() -> None:
    tickets, ticket = Tickets(), Ticket(client="198.51.100.1", replay_of="llmitm-0")
    with tickets.issued(ticket) as word:
        assert tickets
        known = tickets.known(request_with(word), is_local=True)
        assert (known.is_operators, known.client, known.replay_of) == (True, "198.51.100.1", "llmitm-0")
        assert known.headers == ((b"accept", b"*/*"),)
        assert (ticket.exchange_id, ticket.shown.is_set()) == ("llmitm-1", True)
        assert not tickets.known(request_with(word), is_local=True).is_operators
    assert not tickets


def test_what_is_no_ticket_changes_nothing() -> None:
    tickets = Tickets()
    with tickets.issued(Ticket(client="")) as word:
        for request in (request_with(), request_with(""), request_with("guess"), request_with(word[:-1])):
            assert tickets.known(request, is_local=True) is request
        from_elsewhere = request_with(word)
        assert tickets.known(from_elsewhere, is_local=False) is from_elsewhere
    late = request_with(word)
    assert tickets.known(late, is_local=True) is late


def test_no_two_tickets_are_alike() -> None:
    tickets = Tickets()
    with tickets.issued(Ticket(client="")) as one, tickets.issued(Ticket(client="")) as other:
        assert one != other and min(len(one), len(other)) >= 43
