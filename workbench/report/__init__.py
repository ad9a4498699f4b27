"""From a notebook to a report: run one, run a plan, write one HTML file, manifests and an index.

Knows nothing about coupons, channels or slots: it reads an ``Analysis`` and a notebook, whatever their question.
"""
