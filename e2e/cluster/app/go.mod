module inpod.dev/inpod/e2e/cluster/app

go 1.26.0
