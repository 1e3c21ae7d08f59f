module inpod.dev/inpod/e2e/cluster

go 1.26.0
