"""Who may do what: accounts, tokens and sessions; what each person did; submissions that are sent twice."""
