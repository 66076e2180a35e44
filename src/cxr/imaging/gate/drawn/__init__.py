"""Pictures that are no frontal chest films, drawn from scratch at random."""
