module assay.invalid/auditor

go 1.24
