"""Several processes behind one port (`surnn serve --workers N`).

Python runs one thread at a time, and most of a stream's cost is Python, so a second core needs a
second process. Every *member* is a whole server: the kernel spreads connections over them
(`SO_REUSEPORT`), and a stream lives and dies with the member that took it. What has to be one
thing for clients is made one here:

- `ledger`: limits and quotas, counted in memory that all members share;
- `forwarding`: requests that another member has to answer, over private Unix sockets;
- `merging`: answers that all members give together;
- `supervisor`: starts members, replaces those that die, stops all.
"""
