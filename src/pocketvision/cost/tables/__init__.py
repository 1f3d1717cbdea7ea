"""The papers' tables of costs, one file a paper's family: what is printed, beside what is counted here."""
