"""Managing workflows, by id and without their code: control, lists, results. In a workflow each of it is recorded."""
