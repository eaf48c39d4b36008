"""When a model is trained again, and what becomes of each run: rules over frozen values.

``terms`` is what an owner declares, ``kpis`` whether performance is below a floor, ``causes`` which cause is due, and
``runs`` the life of a run as a table. Who calls a target, and where runs are kept, is not known here.
"""
