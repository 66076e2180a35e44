"""Where a run answers the items of two reporting checklists, and which of them only the site can.

Items are named as published: CLAIM, 2024 update (Tejani et al., Radiology: Artificial Intelligence 2024;6(4):e240300)
and STARD-AI (Sounderajah et al., Nature Medicine 2025;31:3283, CC BY), whose longer items are shortened to their topic.
"""

from cxr.reporting.tables import Table

SITE = "Not answered by software: for the site to state"
_PERFORMANCE = "Report, Performance; metrics.json"
_DATA = "Report, Data; ingest.json"
_SUBGROUPS = "Report, Subgroups; metrics.json"
_USE = "Model card, Intended use and Not intended"
_RECIPE = "Report, Provenance: the recipe in full; recipe.json"

CLAIM = (
    (
        "1",
        "Identification as a study of AI methodology, specifying the category of technology used",
        "Report, first lines",
    ),
    ("2", "Summary of study design, methods, results, and conclusions", "Report, key figures"),
    ("3", "Scientific and/or clinical background, including the intended use and role of the AI approach", _USE),
    ("4", "Study aims, objectives, and hypotheses", SITE),
    ("5", "Prospective or retrospective study", SITE),
    ("6", "Study goal", SITE),
    ("7", "Data sources", "Report, Data; model card, Training data"),
    ("8", "Inclusion and exclusion criteria", "Report, Data: files refused, by reason; those of the sources: the site"),
    ("9", "Data pre-processing", "Model card, Input; bundle.json"),
    ("10", "Selection of data subsets", _DATA),
    ("11", "De-identification methods", SITE),
    ("12", "How missing data were handled", "Report, Data and Limits: unknown attributes stay unknown"),
    ("13", "Image acquisition protocol", SITE),
    ("14", "Definition of method(s) used to obtain reference standard", SITE),
    ("15", "Rationale for choosing the reference standard", SITE),
    ("16", "Source of reference standard annotations", SITE),
    ("17", "Annotation of test set", SITE),
    ("18", "Measures of inter- and intra-rater variability of features described by the annotators", SITE),
    ("19", "How data were assigned to partitions", "Report, Data; split.json"),
    ("20", "Level at which partitions are disjoint", "Report, Data: patient groups; split.json"),
    ("21", "Intended sample size", SITE),
    ("22", "Detailed description of model", _RECIPE),
    ("23", "Software libraries, frameworks, and packages", "Report, Provenance"),
    ("24", "Initialization of model parameters", "Report, Training; model card, Training data"),
    ("25", "Details of training approach", _RECIPE),
    ("26", "Method of selecting the final model", "Report, Search and Training; search.json, history.json"),
    ("27", "Ensembling techniques", "One network is served, no ensemble"),
    ("28", "Metrics of model performance", _PERFORMANCE),
    ("29", "Statistical measures of significance and uncertainty", _PERFORMANCE + ": bootstrap over patients"),
    ("30", "Robustness or sensitivity analysis", "Report, Robustness; robustness.json"),
    ("31", "Methods for explainability or interpretability", "Report, Where the model looks; localisation.json"),
    ("32", "Evaluation on internal data", _PERFORMANCE),
    ("33", "Testing on external data", "Not in a run: cxr evaluate --bundle on the site's films"),
    ("34", "Clinical trial registration", SITE),
    ("35", "Numbers of patients or examinations included and excluded", _DATA),
    ("36", "Demographic and clinical characteristics of cases in each partition", "Report, Data, as far as known"),
    ("37", "Performance metrics and measures of statistical uncertainty", _PERFORMANCE),
    ("38", "Estimates of diagnostic performance and their precision", "Report, Operating points; metrics.json"),
    ("39", "Failure analysis of incorrect results", "Report, Performance: confusion; Subgroups; activation maps"),
    ("40", "Study limitations", "Report and model card, Limits"),
    ("41", "Implications for practice, including intended use and/or clinical role", _USE),
    ("42", "Provide a reference to the full study protocol or to additional technical details", _RECIPE),
    ("43", "Statement about the availability of software, trained model, and/or data", SITE),
    ("44", "Sources of funding and other support; role of funders", SITE),
)
STARD_AI = (
    ("1", "Title", SITE),
    ("2", "Abstract", "Report, key figures; the abstract itself: the site"),
    ("3", "Scientific background", _USE),
    ("4", "Objectives", SITE),
    ("5", "Study design", SITE),
    ("6", "Ethics approval", SITE),
    ("7", "Eligibility criteria", "Report, Data: of files, by reason; of participants: the site"),
    ("8", "Participant identification basis", SITE),
    ("9", "Setting and dates", SITE),
    ("10", "Participant series", SITE),
    ("11", "Data source", "Report, Data, by source; how they were collected: the site"),
    ("12", "Dataset annotation", SITE),
    ("13", "Data capture devices and software", "Report, Provenance: software; devices: the site"),
    ("14", "Data acquisition and preprocessing", "Model card, Input: preprocessing; acquisition: the site"),
    ("15a", "Index test", _RECIPE),
    ("15b", "Index test development", "Report, Data, Search and Training"),
    ("15c", "Index test cut-offs", "Report, Operating points, Abstention and Prediction sets; calibration.json"),
    ("15d", "End-user specification", _USE),
    ("16a", "Reference standard", SITE),
    ("16b", "Reference standard rationale", SITE),
    ("16c", "Reference standard cut-offs", SITE),
    ("17a", "Blinding (index test)", "The model sees the film alone; its preparation uses no label"),
    ("17b", "Blinding (reference standard)", SITE),
    ("18", "Statistical methods", _PERFORMANCE + ": bootstrap over patients"),
    ("19", "Indeterminate results", "Report, Abstention and Prediction sets"),
    ("20", "Missing data", "Report, Data and Limits: unknown attributes stay unknown"),
    ("21", "Variability analyses", "Report, Subgroups and Robustness"),
    ("22", "Sample size", SITE),
    ("23", "Fairness assessment (methods)", _SUBGROUPS),
    ("24", "Flow diagram", "Numbers in Report, Data; the diagram: the site"),
    ("25", "Baseline characteristics", "Report, Data, as far as known"),
    ("26a", "Distribution of severity", SITE),
    ("26b", "Alternative diagnoses", "Report, Performance: confusion, among the findings that are told apart"),
    ("27", "Time interval", SITE),
    ("28", "Test set representativeness", SITE),
    ("29", "External evaluation differences", "Not in a run: cxr evaluate --bundle on the site's films"),
    ("30", "Cross-tabulation", "Report, Performance: confusion; metrics.json"),
    ("31", "Accuracy estimates", _PERFORMANCE),
    ("32", "Adverse events", SITE),
    ("33", "Study limitations", "Report and model card, Limits"),
    ("34", "Clinical applicability", _USE),
    ("35", "Ethical considerations and fairness", _SUBGROUPS + "; ethics: the site"),
    ("36", "Registration", SITE),
    ("37", "Protocol", SITE),
    ("38", "Funding", SITE),
    ("39", "Commercial interests", SITE),
    ("40a", "Data and code availability", SITE),
    ("40b", "Audit and evaluation", "metrics/ beside the report; the service's audit trail; predictions.parquet"),
)


def claim_table() -> Table:
    """CLAIM, 2024 update."""
    return _table("claim", "CLAIM, 2024 update", CLAIM, "Checklist for Artificial Intelligence in Medical Imaging.")


def stard_ai_table() -> Table:
    """STARD-AI."""
    return _table("stard-ai", "STARD-AI", STARD_AI, "Reporting of diagnostic accuracy studies using AI.")


def _table(name: str, caption: str, items: tuple[tuple[str, str, str], ...], note: str) -> Table:
    answered = sum(where != SITE for _, _, where in items)
    return Table(
        name=name,
        caption=caption,
        columns=("Item", "What it asks for", "Where this run answers it"),
        rows=items,
        note=f"{note} The run answers {answered} of {len(items)}, some in part; the site must state the others.",
    )
