# What a rollout and a promotion have to pass. Every sentence in `deny` is a reason against; none is permission.
# Figures are rounded and said by %v: OPA's own %.1f garbles a number that happens to be whole.
# The question is described in docs/reference/policy.md; the figures are in data.json beside this file.
package gateway

import rego.v1

limits := data.governance

# Sensitive features: a model that reads one needs somebody's explicit word.
deny contains msg if {
	some name in input.features.names
	name in limits.sensitive
	not approved_by_another
	msg := sprintf("the model reads the sensitive feature %s and nobody else has approved it", [name])
}

# Data freshness: no decision on yesterday's traffic, nor where features were served by their fallbacks.
deny contains msg if {
	input.data.age_s > limits.most_age_s
	msg := sprintf("the newest data is %v s old; at most %v s is allowed", [round(input.data.age_s), limits.most_age_s])
}

deny contains msg if {
	input.data.degraded > limits.most_degraded
	msg := sprintf("%v %% of the requests had degraded features", [round(input.data.degraded * 1000) / 10])
}

# Drift: answers that moved are looked at by people before a model rises on them.
deny contains msg if {
	is_number(input.drift.score)
	input.drift.score > limits.most_drift
	msg := sprintf("answers drifted by %v (PSI); at most %v is allowed", [round(input.drift.score * 100) / 100, limits.most_drift])
}

# Approvals: who asked for it does not count.
deny contains msg if {
	input.action == "promote"
	count(others) < limits.approvals
	msg := sprintf("%d of %d approvals by another person", [count(others), limits.approvals])
}

others := {approval.by | some approval in input.approvals; approval.by != input.requested_by}

approved_by_another if count(others) > 0
