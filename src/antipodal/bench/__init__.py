"""The benchmark: every planner on the same simulated lifts, scored and reported.

scenes ─▶ Observation ─ Planner ─▶ Ranked ─ sim.execute ─▶ trials.parquet ─ scores ─▶ report.json, report.html
"""
