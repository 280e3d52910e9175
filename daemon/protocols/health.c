/* health.c - whether an upstream serves: what failures, checks and time make of it. */
#include "protocols/health.h"

#include <string.h>

/* So many steps take a share from nothing to the whole. */
enum { RAMP_STEPS = 256 };

static void
forget_failures(struct health *health)
{
	health->failed_checks = 0;
	memset(health->failures, 0, sizeof health->failures);
}

static void
set_state(struct health *health, enum health_state state)
{
	health->state = state;
	health->trying = false;
	if (++health->epoch == 0)
		health->epoch = 1;
}

static enum health_news
come_up(struct health *health, uint64_t now_ms)
{
	if (health->state == HEALTH_UP)
		return HEALTH_NO_NEWS;
	set_state(health, HEALTH_UP);
	health->up_ms = now_ms;
	return HEALTH_CAME_UP;
}

static enum health_news
go_down(struct health *health, const struct health_rules *rules, uint64_t now_ms)
{
	bool was_up = health->state == HEALTH_UP;

	set_state(health, HEALTH_DOWN);
	health->until_ms = now_ms + rules->fail_timeout_ms;
	forget_failures(health);
	return was_up ? HEALTH_WENT_DOWN : HEALTH_NO_NEWS;
}

uint64_t
health_next_ms(const struct health *health, const struct health_rules *rules, uint64_t now_ms)
{
	if (health->state == HEALTH_DOWN)
		return rules->checked ? UINT64_MAX : health->until_ms;
	if (health->state == HEALTH_TRIAL)
		return health->until_ms;
	return health->up_ms == 0 ? UINT64_MAX : now_ms + 1 + rules->fail_timeout_ms / RAMP_STEPS;
}

static void
begin_trial(struct health *health)
{
	set_state(health, HEALTH_TRIAL);
	health->until_ms = UINT64_MAX;
}

enum health_news
health_pass_time(struct health *health, const struct health_rules *rules, uint64_t now_ms)
{
	if (health->up_ms != 0 && now_ms - health->up_ms >= rules->fail_timeout_ms)
		health->up_ms = 0;
	if (health->state == HEALTH_DOWN && !rules->checked && now_ms >= health->until_ms)
		begin_trial(health);
	else if (health->state == HEALTH_TRIAL && now_ms >= health->until_ms)
		return come_up(health, now_ms);		/* a silent trial */
	return HEALTH_NO_NEWS;
}

uint32_t
health_share(const struct health *health, const struct health_rules *rules, uint32_t whole,
	     uint64_t now_ms)
{
	uint64_t share;

	if (health->state == HEALTH_DOWN || health->trying)
		return 0;
	if (health->up_ms == 0 || health->state == HEALTH_TRIAL || whole == 0)
		return whole;
	share = whole * (now_ms - health->up_ms) / rules->fail_timeout_ms;
	return share >= whole ? whole : share == 0 ? 1 : (uint32_t)share;
}

bool
health_begin(struct health *health)
{
	if (health->state != HEALTH_TRIAL || health->trying)
		return false;
	health->trying = true;
	return true;
}

void
health_sent(struct health *health, const struct health_rules *rules, uint32_t epoch,
	    uint64_t now_ms)
{
	if (!rules->silent || health->state != HEALTH_TRIAL || health->epoch != epoch)
		return;
	/* From the first on, whether or not that connection is still there. */
	if (health->until_ms == UINT64_MAX)
		health->until_ms = now_ms + rules->fail_timeout_ms;
}

void
health_forget_trial(struct health *health, uint32_t epoch)
{
	if (health->epoch == epoch)
		health->trying = false;
}

enum health_news
health_served(struct health *health, const struct health_rules *rules, uint64_t now_ms)
{
	if (rules->checked && health->state != HEALTH_UP)
		return HEALTH_NO_NEWS;
	memset(health->failures, 0, sizeof health->failures);
	return come_up(health, now_ms);
}

/* Counts a failure; returns how many there were within the last fail_timeout, in whole slots. */
static uint32_t
count_failure(struct health *health, const struct health_rules *rules, uint64_t now_ms)
{
	uint64_t slot = now_ms * HEALTH_SLOTS / rules->fail_timeout_ms;
	uint32_t sum = 0;

	/* Slots that nobody has seen pass are empty, and no more than all of them. */
	for (uint64_t i = 1; i <= HEALTH_SLOTS && health->slot + i <= slot; i++)
		health->failures[(health->slot + i) % HEALTH_SLOTS] = 0;
	health->slot = slot;
	health->failures[slot % HEALTH_SLOTS]++;
	for (unsigned i = 0; i < HEALTH_SLOTS; i++)
		sum += health->failures[i];
	return sum;
}

enum health_news
health_failed(struct health *health, const struct health_rules *rules, uint32_t epoch,
	      uint64_t now_ms, uint32_t *count)
{
	/* What was begun before it went down, or came up, says nothing of how it is now. */
	if (rules->max_fails == 0 || (epoch != 0 && epoch != health->epoch)
	    || health->state == HEALTH_DOWN)
		return HEALTH_NO_NEWS;
	*count = count_failure(health, rules, now_ms);
	if (health->state == HEALTH_UP && *count < rules->max_fails)
		return HEALTH_NO_NEWS;
	return go_down(health, rules, now_ms);
}

enum health_news
health_checked(struct health *health, const struct health_rules *rules, bool succeeded,
	       uint64_t now_ms, uint32_t *count)
{
	bool first = !health->was_checked;

	health->was_checked = true;
	if (succeeded) {
		enum health_news news = come_up(health, now_ms);

		health->failed_checks = 0;
		return news;
	}
	*count = ++health->failed_checks;
	if (health->state != HEALTH_UP || (!first && *count < rules->max_fails))
		return HEALTH_NO_NEWS;
	return go_down(health, rules, now_ms);
}

void
health_renew(struct health *health, uint64_t now_ms)
{
	if (health->state == HEALTH_DOWN)
		health->until_ms = now_ms;
	forget_failures(health);
}
