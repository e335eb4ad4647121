"""The demos: ten banks, or a bank and a payment network, train one credit model and never show a row.

``bluetusk demo banks`` starts a key holder, an aggregator and every bank as separate processes, which exchange nothing
but frames. :mod:`~bluetusk.demo.data` deals the customers of a public data set to the banks,
:mod:`~bluetusk.demo.binning` and :mod:`~bluetusk.demo.model` are the plain mathematics, :mod:`~bluetusk.demo.roles`
defines who sends what to whom, :mod:`~bluetusk.demo.runner` starts and reaps the processes,
:mod:`~bluetusk.demo.evaluate` compares with scikit-learn on the pooled rows, :mod:`~bluetusk.demo.report` and
:mod:`~bluetusk.demo.plot` show it.
"""
