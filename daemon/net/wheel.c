/* wheel.c - a timer wheel: many coarse deadlines that are set often and reached seldom. */
#include "net/wheel.h"

#include <stddef.h>

void
wheel_init(struct wheel *wheel, uint64_t now_ms)
{
	for (unsigned i = 0; i < WHEEL_SLOTS; i++)
		wheel->slots[i].next = wheel->slots[i].prev = &wheel->slots[i];
	wheel->tick = now_ms / WHEEL_TICK_MS;
	wheel->set = 0;
}

static void
link_remove(struct wheel_link *link)
{
	link->next->prev = link->prev;
	link->prev->next = link->next;
	link->next = link->prev = NULL;
}

/* Puts a timer into the slot of the first tick that begins at or after its deadline. */
static void
wheel_insert(struct wheel *wheel, struct wheel_timer *timer)
{
	uint64_t tick = (timer->deadline_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
	struct wheel_link *slot;

	if (tick < wheel->tick)
		tick = wheel->tick;
	if (tick > wheel->tick + WHEEL_SLOTS - 1)
		tick = wheel->tick + WHEEL_SLOTS - 1;
	slot = &wheel->slots[tick % WHEEL_SLOTS];
	timer->link.prev = slot->prev;
	timer->link.next = slot;
	slot->prev->next = &timer->link;
	slot->prev = &timer->link;
}

void
wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t deadline_ms)
{
	if (wheel_timer_is_set(timer))
		link_remove(&timer->link);
	else
		wheel->set++;
	timer->deadline_ms = deadline_ms;
	wheel_insert(wheel, timer);
}

void
wheel_unset(struct wheel *wheel, struct wheel_timer *timer)
{
	if (!wheel_timer_is_set(timer))
		return;
	link_remove(&timer->link);
	wheel->set--;
}

struct wheel_timer *
wheel_due(struct wheel *wheel, uint64_t now_ms)
{
	uint64_t now_tick = now_ms / WHEEL_TICK_MS;

	if (wheel->set == 0) {
		if (wheel->tick < now_tick)
			wheel->tick = now_tick;
		return NULL;
	}
	while (wheel->tick <= now_tick) {
		struct wheel_link *slot = &wheel->slots[wheel->tick % WHEEL_SLOTS];

		/* One that is further off than the wheel is long lands in a later slot again. */
		while (slot->next != slot) {
			struct wheel_timer *timer = (struct wheel_timer *)slot->next;

			link_remove(&timer->link);
			if (timer->deadline_ms <= now_ms) {
				wheel->set--;
				return timer;
			}
			wheel_insert(wheel, timer);
		}
		if (wheel->tick == now_tick)
			break;
		wheel->tick++;
	}
	return NULL;
}

int64_t
wheel_wait_ms(const struct wheel *wheel, uint64_t now_ms)
{
	uint64_t at_ms;

	if (wheel->set == 0)
		return -1;
	for (uint64_t tick = wheel->tick; tick < wheel->tick + WHEEL_SLOTS; tick++) {
		const struct wheel_link *slot = &wheel->slots[tick % WHEEL_SLOTS];

		if (slot->next == slot)
			continue;
		at_ms = tick * WHEEL_TICK_MS;
		return at_ms > now_ms ? (int64_t)(at_ms - now_ms) : 0;
	}
	return 0;
}
