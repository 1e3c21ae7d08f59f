# Everything one does with this repository is a target here; CI calls nothing else. "make" alone lists them.
#
# Needed on the machine: Go (go.mod says which), make, git. The tools are built from the pins in tools/go.mod, Debian
# packages are installed by the target that needs them when it runs as root.

# Targets need what those before them in a list have made.
.NOTPARALLEL:

# A package is compiled once for each set of flags. So there are two sets for all of tools, programs, linting, tests and
# the local cluster: this one, and the one for the race detector, which needs cgo (tools/unit.sh).
export CGO_ENABLED := 0
export GOFLAGS     := $(strip $(filter-out -trimpath,$(GOFLAGS)) -trimpath)

SHELL         := bash
.SHELLFLAGS   := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS     += --no-builtin-rules --no-print-directory

# Variables that one may set: make images VERSION=1.2.3
PROGRAMS     ?= controller injector sidecar
HOST_ARCH    := $(shell go env GOARCH 2>/dev/null || echo amd64)
ARCHES       ?= amd64 arm64
ifndef VERSION
  VERSION    := $(shell tools/version.sh)
endif
IMAGE_PREFIX ?= $(if $(REGISTRY),$(REGISTRY)/inpod,inpod)
FUZZTIME     ?= 20s
RACE         ?= -race
E2E_TIMEOUT  ?= 3h
SUITES       ?= lint unit chart e2e
TOOLS        := golangci-lint gofumpt gotestsum helm
TOOLS_BIN    := $(CURDIR)/.tools/bin
HELM         ?= $(TOOLS_BIN)/helm
GOLANGCI     ?= $(TOOLS_BIN)/golangci-lint
CLUSTER      := go run -C e2e/cluster .

# A cluster of one's own, named by KUBECONFIG, takes the place of the local one; its nodes pull the images.
OWN_CLUSTER := $(filter-out $(CURDIR)/.cluster/kubeconfig,$(KUBECONFIG))
ifeq ($(OWN_CLUSTER),)
  cluster_steps := build-host images-host cluster-up cluster-load
  kubeconfig    := $(CURDIR)/.cluster/kubeconfig
  KUBECTL       ?= $(CURDIR)/.cluster/bin/kubectl
else
  cluster_steps := own-cluster
  kubeconfig    := $(OWN_CLUSTER)
endif

# $(call gotestsum,SUITE,FORMAT) COMMAND runs tests: a line for each package or test, all that failing ones said, and a
# closing line that counts. The command prints "go test -json"; it is kept in dist/test/SUITE.json, and gotestsum
# --raw-command cat FILE prints it again. A suite in which no test ran has failed.
gotestsum = mkdir -p dist/test && $(TOOLS_BIN)/gotestsum --format $(2) --jsonfile dist/test/$(1).json \
	--ignore-non-json-output-lines --raw-command \
	--post-run-command "bash -c '((TESTS_TOTAL > TESTS_SKIPPED)) || { echo $(1): no test ran; exit 1; }'" --

# What the programs under e2e/ need to know about the images and the tools.
e2e_env = KUBECONFIG="$(kubeconfig)" KUBECTL="$(KUBECTL)" HELM="$(HELM)" CHART="$(CURDIR)/charts/inpod" \
	IMAGE_PREFIX="$(IMAGE_PREFIX)" IMAGE_TAG="$(VERSION)"

##@ Start here

.PHONY: help
help: ## list the targets (the default)
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\nmake demo and make test are the two commands; CONTRIBUTING.md has the rest.\n'

.PHONY: demo
demo: $(cluster_steps) tool-helm ## a walkthrough on a real cluster: rollouts, reloads in place, a rejected edit (KUBECONFIG=... for your own)
	@$(e2e_env) go run -tags e2e ./e2e/demo

##@ Tests

.PHONY: test
test: host ## what CI runs: lint, unit with the fuzz seeds, chart, e2e; all of them even if one fails (SUITES="lint unit" for some)
	@mkdir -p dist/test; rm -f dist/test/result; trap 'exit 130' INT; \
	for suite in $(SUITES); do \
	  printf '\n== %s\n' $$suite; start=$$SECONDS result=ok; \
	  $(MAKE) test-$$suite 2>&1 | tee -i dist/test/$$suite.out || result=FAILED; \
	  counted=$$(grep '^DONE ' dist/test/$$suite.out | tail -n 1 || true); \
	  echo "$$suite: $$result in $$((SECONDS - start)) s$${counted:+ ($$counted)}" >>dist/test/result; \
	done; \
	printf '\n== result\n'; cat dist/test/result; ! grep -q ': FAILED' dist/test/result

.PHONY: test-unit
test-unit: host tool-gotestsum ## unit tests of every module and the fuzz tests' seeds, with the race detector
	@$(if $(RACE),tools/need.sh gcc gcc libc6-dev)
	@$(call gotestsum,unit,pkgname) tools/unit.sh $(RACE)
	@echo "$$(grep -c '"Action":"pass".*"Test":"Fuzz' dist/test/unit.json) of them are fuzz tests and their seeds"

.PHONY: test-fuzz-seeds
test-fuzz-seeds: host tool-gotestsum ## the seed inputs of the fuzz tests alone
	@$(if $(RACE),tools/need.sh gcc gcc libc6-dev)
	@$(call gotestsum,fuzz-seeds,pkgname) tools/fuzz.sh seeds $(RACE)

.PHONY: test-chart
test-chart: host tool-helm tool-gotestsum ## chart: lint, schema, golden render, strict decode, RBAC
	@$(call gotestsum,chart,pkgname) tools/chart.sh "$(HELM)"

.PHONY: test-e2e
test-e2e: $(cluster_steps) tool-helm tool-gotestsum ## tests on a real cluster (KUBECONFIG=... for your own; RUN=regexp for some)
	@export $(e2e_env); $(call gotestsum,e2e,testname) \
	  go test -json -vet=off -tags e2e -count=1 -timeout $(E2E_TIMEOUT) $(if $(RUN),-run '$(RUN)') ./e2e/...

.PHONY: test-presets
test-presets: host tool-gotestsum ## the presets against real servers, several minutes (Debian, root; not part of test)
	@e2e/presets/packages.sh
	@$(call gotestsum,presets,testname) \
	  go test -json -vet=off -tags presets -count=1 -parallel 6 -timeout 3h ./e2e/presets

.PHONY: bench
bench: build-host $(filter-out cluster-load images-host,$(cluster_steps)) tool-helm ## measure what the controller costs, as one table (ONLY=scenario,... for some)
	@$(e2e_env) go run -tags e2e ./e2e/bench -controller bin/linux-$(HOST_ARCH)/controller $(if $(ONLY),-only $(ONLY))

.PHONY: stress
stress: $(cluster_steps) tool-helm ## 300 random changes while controller and API server are killed (DURATION=20m FAULTS=false for memory; SEED=n replays)
	@$(e2e_env) go run -tags e2e ./e2e/stress -faults=$(or $(FAULTS),true) -duration $(or $(DURATION),4m) \
	  -seed $(or $(SEED),1) -strategy $(or $(STRATEGY),env-vars) -without $(or $(WITHOUT),key)

.PHONY: test-lint
test-lint: lint

.PHONY: lint
lint: host tool-golangci-lint ## golangci-lint and formatting, over every module
	@tools/lint.sh "$(GOLANGCI)"

.PHONY: fmt
fmt: host tool-golangci-lint ## format the Go files
	@tools/lint.sh "$(GOLANGCI)" fmt

.PHONY: fuzz
fuzz: host ## fuzz each fuzz test for FUZZTIME (20s)
	@tools/fuzz.sh run $(FUZZTIME)

##@ Build

.PHONY: build
build: host ## static binaries of the programs in bin/linux-ARCH/ (ARCHES="amd64 arm64")
	@tools/build.sh "$(VERSION)" "$(PROGRAMS)" "$(ARCHES)"

.PHONY: images
images: build ## images from nothing but bin/, as archives in dist/images/ (no registry needed)
	@tools/need.sh buildah buildah ca-certificates
	@tools/images.sh "$(VERSION)" "$(IMAGE_PREFIX)" "$(PROGRAMS)" "$(ARCHES)" "$(HOST_ARCH)"

.PHONY: push
push: ## build and push images for all ARCHES: REGISTRY=registry.example.com/team or IMAGE_PREFIX=.../inpod
	@$(if $(REGISTRY)$(filter-out inpod,$(IMAGE_PREFIX)),,echo 'inpod: say where to: make push REGISTRY=registry.example.com/team' >&2; exit 2)
	@$(MAKE) images
	@tools/push.sh "$(VERSION)" "$(IMAGE_PREFIX)" "$(PROGRAMS)"

.PHONY: chart
chart: host tool-helm ## package the chart into dist/
	@mkdir -p dist
	@$(HELM) package charts/inpod --destination dist --version "$(VERSION)" --app-version "$(VERSION)"

.PHONY: manifests
manifests: host tool-helm ## render the chart into dist/inpod.yaml for kubectl apply -f
	@tools/manifests.sh "$(HELM)" "$(VERSION)" "$(IMAGE_PREFIX)" dist/inpod.yaml

.PHONY: generate
generate: host tool-helm ## write everything generated: goldens, tables of docs, the chart's README
	@HELM="$(HELM)" tools/generate.sh

.PHONY: verify
verify: host tool-helm ## check that generated files are current, scripts pass shellcheck, and the code reaches no known vulnerability
	@tools/need.sh shellcheck shellcheck
	@HELM="$(HELM)" tools/verify.sh

##@ The local cluster

.PHONY: cluster-up
cluster-up: host ## start a real single-node Kubernetes here (builds it once, about 12 CPU minutes)
	@$(CLUSTER) up

.PHONY: cluster-down
cluster-down: host ## remove it, with all that it left on the machine
	@$(CLUSTER) down

.PHONY: cluster-status
cluster-status: host ## show which parts of it run
	@$(CLUSTER) status

.PHONY: cluster-shell
cluster-shell: host ## a shell with kubectl and KUBECONFIG set for it
	@$(CLUSTER) shell

.PHONY: cluster-load
cluster-load: cluster-up images-host ## put this checkout's images into the cluster's node
	@$(CLUSTER) load $(CURDIR)/dist/images/*.tar

##@ Housekeeping

.PHONY: tools
tools: $(TOOLS:%=tool-%) ## build the pinned tools and print where they are
	@ls -1 $(TOOLS:%=$(TOOLS_BIN)/%)

.PHONY: clean
clean: ## remove what the targets made here (not the cluster, not the caches outside)
	@rm -rf bin dist .tools
	@echo "removed bin, dist, .tools"

# Steps that the targets above are made of.

.PHONY: host
host:
	@tools/check-host.sh

.PHONY: $(TOOLS:%=tool-%)
$(TOOLS:%=tool-%): tool-%: $(TOOLS_BIN)/%

# The package of a tool is its line in tools/go.mod. Of helm's version go build sets a part only. The hundreds of modules
# that an empty cache lacks are not worth a line each.
$(TOOLS:%=$(TOOLS_BIN)/%): $(TOOLS_BIN)/%: tools/go.mod tools/go.sum
	@tools/check-host.sh
	@echo 'building $* from the pins in tools/go.mod (once, a minute or two)' >&2
	@mkdir -p $(@D); rm -f $@; helm=$$(go list -C tools -m -f '{{.Version}}' helm.sh/helm/v4); \
	  go build -C tools -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=$$helm" \
	  -o $@ "$$(sed -n 's|^\t\(.*/$*\)$$|\1|p' tools/go.mod)" 2> >(grep -v '^go: downloading ' >&2)

.PHONY: build-host
build-host: host
	@tools/build.sh "$(VERSION)" "$(PROGRAMS)" "$(HOST_ARCH)"

.PHONY: images-host
images-host: build-host
	@tools/need.sh buildah buildah ca-certificates
	@tools/images.sh "$(VERSION)" "$(IMAGE_PREFIX)" "$(PROGRAMS)" "$(HOST_ARCH)" "$(HOST_ARCH)"

.PHONY: own-cluster
own-cluster: host
	@tools/own-cluster.sh "$(OWN_CLUSTER)" "$(filter-out inpod,$(IMAGE_PREFIX))"
	@$(if $(SKIP_PUSH),,$(MAKE) push)
