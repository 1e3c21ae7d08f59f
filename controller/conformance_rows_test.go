package main

// sections is everything that the reference says of Reloader.
func sections() []section {
	return []section{flagRows(), environmentRows(), annotationRows(), selectionRows(), eventRows(), kindRows(), alertRows(), operationRows(), configHashRows(), faultRows(), operationFaults(), chartFaults()}
}

func flagRows() section {
	const accepted = "TestEveryFlagOfReloaderIsAccepted"
	return section{"Flags", "Each flag is also an environment variable (`INPOD_…`) and a key of the configuration file.\n`controller --help` lists inpod's own flags.", []row{
		{"`--auto-reload-all`", same, "", []string{accepted, "TestReloaderCases"}},
		{"`--configmap-annotation`, `--secret-annotation`, `--auto-annotation`, `--configmap-auto-annotation`, `--secret-auto-annotation`", same, "", []string{accepted, "TestReach", "TestReloadersKeysAreTheDefault"}},
		{"`--auto-search-annotation`, `--search-match-annotation`, `--ignore-annotation`", same, "", []string{accepted, "TestReach"}},
		{"`--pause-deployment-annotation`, `--pause-deployment-time-annotation`", same, "", []string{accepted, "TestPauses"}},
		{"`--log-format`, `--log-level`", better, "a wrong value ends the program with a list of the right ones, instead of a log in another form", []string{accepted, "TestRefused", "TestParseLevel"}},
		{"`--webhook-url`", better, "the call says what changed, follows the annotations, and counts when the answer is 2xx", []string{accepted, "TestAWebhookIsCalledInsteadOfRolling"}},
		{"`--resources-to-ignore`", better, "both at once are allowed, and neither switches another option off", []string{accepted, "TestKindsOfSourcesThatAreIgnored", "TestNamespacesAndSourcesAreSelectedByTheirLabels"}},
		{"`--ignored-workload-types`", better, "an unknown value is an error at the start, instead of one per event; ignored kinds need no rights", []string{accepted, "TestRefused", "TestProgramsMayDoThisAndNoMore"}},
		{"`--namespaces`", better, "entries are trimmed; the controller checks its rights at the start, and names those that are missing", []string{accepted, "TestANamespacedInstallStaysInItsNamespace", "TestMissingPermissionsAreNamedAtStart"}},
		{"`--namespaces-to-ignore`", better, "entries are trimmed; the API server leaves these namespaces out, so nothing in them is read", []string{accepted, "TestIgnoredNamespacesAreNotWatched", "TestWhatIsLeftOutIsNotAskedFor"}},
		{"`--namespace-selector`", better, "it accepts the older forms; namespaces that do not match are not watched", []string{accepted, "TestSelector", "TestANamespaceBeginsAndCeasesToMatch"}},
		{"`--resource-label-selector`", same, "", []string{accepted, "TestSourcesThatAreNotSelected"}},
		{"`--is-Argo-Rollouts`", better, "also in lower case, as Reloader's documentation has it", []string{accepted, "TestRefused", "TestKindsThatAreNotOfKubernetesItself"}},
		{"`--reload-strategy`", same, "", []string{accepted, "TestEnvVarsStrategyWritesReloadersVariables", "TestAnnotationsStrategyWritesReloadersAnnotation"}},
		{"`--reload-on-create`, `--reload-on-delete`", better, "both strategies see deletions, and nothing depends on which list was read first", []string{accepted, "TestSourcesThatAppearOrDisappearRollWhenAskedTo", "TestRuleAppearedOrGone"}},
		{"`--sync-after-restart`", different, "accepted, and explained in a line of the log: changes made while inpod was away are always applied, once, and nothing else is", []string{accepted, "TestOnlyChangesRollThroughInstallStopStartAndUpgrade"}},
		{"`--enable-ha`", better, "the other replicas have filled caches; the Lease is in inpod's own namespace and released at a stop", []string{accepted, "TestNothingIsLostOrDoneTwiceWhenTheLeaderGoes", "TestALeaderThatIsStoppedHandsOverAtOnce"}},
		{"`--enable-csi-integration`", better, "it waits for the driver's kinds if they are installed later", []string{accepted, "TestOneRotationOfTheSecretsStoreDriverIsOneRollout"}},
		{"`--enable-pprof`, `--pprof-addr`", better, "profiles are on that address and nowhere else; only port-forward reaches the default", []string{accepted, "TestProfiles"}},
		{"unknown flags", better, "they end the program with exit code 2 and the name that was meant", []string{"TestRefused"}},
	}}
}

func environmentRows() section {
	return section{"Environment", "", []row{
		{"`KUBERNETES_NAMESPACE`", same, "", []string{"TestReach"}},
		{"`KUBECONFIG`, `HOME`", same, "", []string{"TestOrderOfCredentials"}},
		{"`POD_NAME`, `POD_NAMESPACE`", same, "", []string{"TestRefused"}},
		{"`RELOADER_NAMESPACE`, `RELOADER_DEPLOYMENT_NAME`", same, "`--meta-info` works without them, because the pod knows both", []string{"TestMetaInfoIsWrittenWhereItIsAskedFor"}},
		{"`METRICS_COUNT_BY_NAMESPACE`", same, "", []string{"TestReloadersMetricsAreCorrect"}},
		{"`ALERT_ON_RELOAD`, `ALERT_SINK`, `ALERT_WEBHOOK_URL`, `ALERT_WEBHOOK_PROXY`, `ALERT_ADDITIONAL_INFO`", same, "", []string{"TestAlertsAsReloaderSetsThem"}},
		{"`GOMAXPROCS`, `GOMEMLIMIT`", same, "Go follows the CPU limit by itself; the chart sets `GOMEMLIMIT` from the memory limit", []string{"TestGoMemLimit"}},
	}}
}

func annotationRows() section {
	return section{"Annotations", "", []row{
		{"`reloader.stakater.com/auto` and its forms for one kind", same, "a Warning event reports a value that is no boolean", []string{"TestReloaderCases", "TestWhatCannotBeUnderstood"}},
		{"`configmap.…/reload`, `secret.…/reload`", better, "`a|b` is one pattern for the whole name; an invalid pattern is reported and affects only itself", []string{"TestReloaderCases", "TestProblems"}},
		{"`secretproviderclass.…/auto`, `…/reload`", same, "", []string{"TestSecretProviderClasses", "TestOneRotationOfTheSecretsStoreDriverIsOneRollout"}},
		{"`reloader.stakater.com/search`, `…/match`", same, "", []string{"TestReloaderCases", "TestSelectionOfSources"}},
		{"`reloader.stakater.com/ignore` on a source", same, "", []string{"TestReloaderCases", "TestSelectionOfSources"}},
		{"`reloader.stakater.com/ignore` on a workload", better, "it has the effect that Reloader's documentation promises", []string{"TestPolicyOfTheWholeWorkload", "docs/adr/0004-annotation-semantics.md"}},
		{"`configmaps.exclude.…/reload`, `secrets.exclude.…/reload`", better, "they count on the pod template as well, and may be patterns", []string{"TestReloaderCases", "docs/adr/0004-annotation-semantics.md"}},
		{"`deployment.reloader.stakater.com/pause-period`, `…/paused-at`", better, "it works for every kind, on the pod template too, and over restarts; nothing stays paused", []string{"TestThePausePeriodOutlivesARestart", "TestADeploymentThatReloaderLeftPausedIsResumedWhenItsPeriodIsOver", "docs/adr/0010-pauses.md"}},
		{"`reloader.stakater.com/rollout-strategy`", better, "it counts on the pod template as well; a restart is recorded in the baseline", []string{"TestRolloutStrategy", "TestARestartIsOneMergePatch"}},
		{"`reloader.stakater.com/last-reloaded-from`", same, "", []string{"TestAnnotationsStrategyWritesReloadersAnnotation"}},
	}}
}

func selectionRows() section {
	const cases = "TestReloaderCases"
	return section{"Which workloads a change concerns", "The rows of `TestReloaderCases` are the cases that were measured on Reloader.\nThose with another result have the reason.", []row{
		{"the order: ignore, annotations of the workload or else of the template, exclude, named, search, auto, auto-reload-all", same, "", []string{cases, "TestPrecedence"}},
		{"the annotations of the pod template count if the workload has none: all or nothing, per kind of source", same, "", []string{cases}},
		{"`false` does not disable a name in a list; `\"\"` counts as not set", same, "", []string{cases}},
		{"an object that is named need not be in the pod template", same, "", []string{cases, "TestWanted"}},
		{"`[,cm1`: a pattern that cannot be read", better, "a Warning event reports it; the other names count, and the program keeps running", []string{"TestABadAnnotationWarnsOnItsWorkloadAndConcernsNobodyElse"}},
		{"`true` in a list of names", better, "a Warning event names the annotation that was meant", []string{"TestWhatCannotBeUnderstood"}},
		{"references: volumes, projected volumes, `env`, `envFrom`, init containers", better, "all volumes of a source count, not the first only, and key by key", []string{"TestUsages", "TestEveryUsageInEveryKindRollsOncePerChange"}},
	}}
}

func eventRows() section {
	return section{"What counts as a change", "", []row{
		{"new content", better, "only content of a used key counts; an edit that is taken back before it is applied is no change", []string{"TestEditsThatChangeNothingThatIsUsedRollNothing", "TestAChangeThatIsTakenBackRollsNothing"}},
		{"labels, annotations, type of a source", same, "they are no change", []string{"TestEditsThatChangeNothingThatIsUsedRollNothing"}},
		{"a source is created or deleted", better, "see the flags; a source that is created again with other content is a change", []string{"TestSourcesThatAppearOrDisappearRollWhenAskedTo", "TestASourceThatComesBackRollsOnce"}},
		{"changes while it is down, and between two leaders", better, "they are applied once afterwards", []string{"TestOnlyChangesRollThroughInstallStopStartAndUpgrade", "TestAChangeBetweenTwoLeadersIsAppliedOnce"}},
		{"several changes at once", better, "they are one rollout, together with the template's own edit", []string{"TestManyEditsInQuickSuccessionAreOneRollout", "TestAReleaseOfAnApplicationIsOneRollout"}},
		{"a source in another namespace", same, "it is not supported, by design", []string{"TestOtherNamespacesAreNotThere"}},
	}}
}

func kindRows() section {
	return section{"Kinds of workloads", "See [kinds of workloads](workload-kinds.md).", []row{
		{"Deployment, StatefulSet, DaemonSet", same, "one strategic merge patch of the pod template", []string{"TestARolloutIsOneRequest", "TestEveryUsageInEveryKindRollsOncePerChange"}},
		{"CronJob", better, "a Job is started once, as `concurrencyPolicy` allows; a suspended CronJob starts none", []string{"TestAChangeStartsAJobOfACronJob", "TestAJobIsStartedOnceForEachContent", "docs/workload-kinds.md"}},
		{"Job", better, "it is recreated under its name only while it runs, and no refusal or stop loses it", []string{"TestAChangeRecreatesAJob", "TestAJobIsRecreatedWhateverHappens", "TestAJobIsNotLostWhenTheControllerStopsHalfway", "docs/adr/0012-job-recreation.md"}},
		{"Argo Rollout, both strategies", better, "a JSON Patch with tests replaces the write of the whole object: no field is lost", []string{"TestKindsThatAreNotOfKubernetesItself", "TestAPatchByPositionsTouchesNothingElse"}},
		{"Argo Rollout with `workloadRef`", better, "it is followed through the workload that it refers to, and never rolled twice", []string{"TestAWorkloadMayRunTheTemplateOfAnother", "docs/adr/0007-unstructured-kinds.md"}},
		{"OpenShift DeploymentConfig", better, "Reloader has dropped it", []string{"TestKindsThatAreNotOfKubernetesItself"}},
		{"any other kind with a pod template", better, "`--workload-kinds` adds it", []string{"TestKindsThatAreNotOfKubernetesItself", "TestOtherKindsReloadInPlace"}},
		{"pause-period pauses the Deployment", different, "the next rollout waits; `spec.paused` is never written", []string{"TestChangesWithinThePausePeriodAreOneRolloutAtItsEnd", "docs/adr/0010-pauses.md"}},
	}}
}

func alertRows() section {
	return section{"Alerts and webhook", "", []row{
		{"`slack`, `gchat`, raw text", better, "they are sent in the background, with timeouts and retries; failures send them too", []string{"TestBodyOfEachSink", "TestSendingNeverBlocks"}},
		{"`teams`", better, "it gets an adaptive card, and 202 is a success", []string{"TestTeamsGetsAnAdaptiveCardThatShowsFailure", "TestPost"}},
		{"the webhook", better, "see `--webhook-url`; Reloader's body is a constant", []string{"TestTheCallSaysWhatChangedAndIsThenRecorded", "docs/delegating-rollouts.md"}},
		{"addresses in logs", better, "they are never logged", []string{"TestAnAddressThatCannotBePostedToIsNotRepeatedInTheError", "TestAllProblemsAreReportedAndNoPassword"}},
	}}
}

func operationRows() section {
	return section{"Operation", "", []row{
		{"`:9090` with `/metrics` and `/live`", better, "`/ready` also says when the caches are filled and the election works", []string{"TestEndpoints", "TestReadinessSaysWhatIsMissing"}},
		{"the Lease `stakater-reloader-lock`", different, "it is `<release>-controller`, so that two releases do not share it, and is released at a stop", []string{"TestLeaseIsKeptUntilTheWorkHasEnded", "TestALeaderThatIsStoppedHandsOverAtOnce"}},
		{"events `Reloaded` and `ReloadFail` on the workload", same, "they say what changed and why; the component is `inpod`", []string{"TestWhatIsEmittedIsWrittenOnce", "TestAWorkloadThatAdmissionRefusesIsRetriedForItselfAlone"}},
		{"the meta-info ConfigMap", better, "only the leader writes it, only when it differs, with rights on this one name; it holds no address that is a password", []string{"TestMetaInfo", "TestTheMetaInformationIsWritten"}},
		{"`reloader_reload_executed_total` and `…_by_namespace`", same, "", []string{"TestReloadersMetricsAreCorrect", "TestANamespacedInstallStaysInItsNamespace"}},
		{"`reloader_reconcile_…`, `reloader_action_…`, `reloader_skipped_total`, `reloader_errors_total`, `reloader_retries_total`, `reloader_events_…`, `reloader_workqueue_…`", better, "a reconciliation counts once, and events have their type", []string{"TestReloadersMetricsAreCorrect"}},
		{"`reloader_workloads_scanned_total`, `reloader_workloads_matched_total`", different, "they do not exist: inpod scans nothing, because an index has the workloads", []string{"TestOneEditAmongFiveHundredWorkloadsIsOnePatchAndOneEvent"}},
		{"`rest_client_requests_total`, `rest_client_request_duration_seconds`, Go's and the process's", same, "", []string{"TestRequestsReport"}},
	}}
}

func configHashRows() section {
	return section{"What a rollout writes", "", []row{
		{"the variable's name: `STAKATER_<NAME>_CONFIGMAP`, `…_SECRET`", same, "", []string{"TestVariable"}},
		{"two objects whose names give one variable", better, "the config hash covers both", []string{"TestConfigHashOfNamesThatCollide"}},
		{"the value: 40 hexadecimal digits", better, "they are keyed with a key of the installation: nobody can guess a short password from them", []string{"TestConfigHash", "docs/adr/0005-digest-key.md"}},
		{"which container gets it", same, "", []string{"TestContainerOfAConfigHash"}},
		{"`last-reloaded-from` with type, name, namespace, hash, containerRefs, observedAt", same, "the time in it does not decide whether to write it", []string{"TestAnnotationsStrategyWritesReloadersAnnotation"}},
		{"no `resourceVersion` in the patch", same, "the patch has the UID: it cannot change an object that was created again", []string{"TestPatches"}},
		{"variables of sources that are not used any more", better, "the next rollout removes them", []string{"TestStale", "TestAStaleVariableGoes"}},
		{"a manifest that a GitOps tool applies again reverts nothing", same, "", []string{"TestApplyingTheManifestAgainUndoesNothing", "TestReplacingAWorkloadIsOneRollout"}},
	}}
}
