/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slot protocol of pipeline/ring.c for the model checker spin: two producers, two consumers, and one more thread that
 * at any moment closes the ring at a lower end (-DLOWER=end) or poisons it (-DPOISON). Names are those of ring.c. One
 * step holds one access to shared memory, a load or a read-modify-write, with the local work beside it. Memory is
 * sequentially consistent: that the orderings in ring.c suffice is for the comments there and for ThreadSanitizer.
 *
 * wakes is only ever compared with an earlier value of itself, so the model keeps that comparison's result (knows[])
 * instead of numbers. A sleep in the kernel is one step too: compare, and sleep if equal. There are no idle wake-ups,
 * which could only hide a lost one. Half laps count modulo 4, so that they wrap within the run.
 *
 * Checked: no slot is owned twice; a consumer reads what its own number's producer wrote, and gets it once; everything
 * below the least end arrives unless the ring failed; and everybody comes back (to spin, a run that ends with a process
 * still waiting is an error).
 *
 * -DSLOTS, -DITEMS set the size. Broken variants in which spin must find an error:
 *	NO_RECHECK       the sleeper does not test the word that it set WAITER in
 *	NO_WAKE          the changer raises wakes but wakes nobody
 *	WAKE_ONE         the changer wakes one sleeper, not all
 *	LATE_READ        the sleeper reads wakes after its test
 *	SLEEP_ON_WORD    the sleeper sleeps on the word itself instead of wakes (with LOWER; see the top of ring.c)
 *	NO_CLOSED_WAKE   close sets the flag without waking
 */

#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef ITEMS
#define ITEMS 3
#endif
/* the producer that draws this number closes the ring there */
#define START 2 /* half lap that both slots start in */
#define LAPS  4 /* half laps wrap here */
#define NOBODY 255

#define PRODUCER 0
#define CONSUMER 1
#define WORKERS	 4

#define OK    0
#define END   1
#define AGAIN 2
#define FAIL  3
#define CLOSED_OK    4
#define CLOSED_AGAIN 5

typedef Slot {
	byte half_lap;
	bit failed, closed, waiter; /* with half_lap: the word */
	byte owner; /* NOBODY, or who has claimed or acquired it */
	byte memory;
}

Slot slot[SLOTS];
byte end_at = 255;
bit fail_code;
byte ticket[2];
byte knows[WORKERS];     /* slot + 1 whose wakes the worker has read, and has not been raised since; 0: none */
byte sleeps_on[WORKERS]; /* slot + 1; 0: awake */
bit arrived[ITEMS];

/* After a change to a slot's word that took WAITER out of it; w says whether it was there. */
inline wake()
{
	if
	:: w ->
		d_step { /* raise wakes */
			k = 0;
			do
			:: k < WORKERS ->
				if
				:: knows[k] == i + 1 -> knows[k] = 0
				:: else
				fi;
				k++
			:: else -> break
			od;
			k = 0;
			w = 0
		}
#ifndef NO_WAKE
		d_step {
			do
			:: k < WORKERS ->
				if
				:: sleeps_on[k] == i + 1 ->
					sleeps_on[k] = 0;
#ifdef WAKE_ONE
					k = WORKERS - 1
#endif
				:: else
				fi;
				k++
			:: else -> break
			od;
			k = 0
		}
#endif
	:: else
	fi
}

inline take_waiter()
{
	w = slot[i].waiter;
	slot[i].waiter = 0
}

inline close_ring(bound)
{
	d_step {
		if
		:: bound < end_at -> end_at = bound
		:: else
		fi;
		i = 0
	}
	do
	:: d_step {
		i < SLOTS ->
		slot[i].closed = 1;
		take_waiter()
#ifdef NO_CLOSED_WAKE
		;
		w = 0
#endif
	   }
	   wake();
	   i++
	:: i == SLOTS -> break
	od
}

inline fail_ring()
{
	d_step {
		fail_code = 1;
		i = 0
	}
	do
	:: d_step {
		i < SLOTS ->
		slot[i].failed = 1;
		take_waiter()
	   }
	   wake();
	   i++
	:: i == SLOTS -> break
	od
}

/* rc from the word as it is now; when that is closed, end_at decides in a step of its own. */
inline judge()
{
	rc = (slot[i].failed -> FAIL :
		(slot[i].half_lap == wanted -> (slot[i].closed -> CLOSED_OK : OK) :
			(slot[i].closed -> CLOSED_AGAIN : AGAIN)));
	assert(rc != FAIL || fail_code)
}

inline look_at_end()
{
	if
	:: rc == CLOSED_OK -> rc = (seq >= end_at -> END : OK)
	:: rc == CLOSED_AGAIN -> rc = (seq >= end_at -> END : AGAIN)
	:: else
	fi
}

inline look()
{
	d_step { judge() }
	look_at_end()
}

inline read_wakes()
{
#ifdef SLEEP_ON_WORD
	true
#else
	knows[me] = i + 1
#endif
}

/* The kernel's part, up to the wake-up. */
inline sleep()
{
	d_step {
#ifdef SLEEP_ON_WORD
		if
		:: slot[i].half_lap == half_lap && slot[i].failed == failed && slot[i].closed == closed &&
			slot[i].waiter -> sleeps_on[me] = i + 1
		:: else
		fi;
		failed = 0;
		closed = 0;
		half_lap = 0
#else
		if
		:: knows[me] == i + 1 -> sleeps_on[me] = i + 1
		:: else
		fi;
		knows[me] = 0
#endif
	}
	sleeps_on[me] == 0 /* blocks until somebody wakes it */
}

/* claim or acquire: look(), then wait_for() without its spinning */
inline take()
{
	look();
	do
	:: rc != AGAIN -> break
	:: else ->
#ifndef LATE_READ
		read_wakes();
#endif
		d_step {
			slot[i].waiter = 1;
#ifdef SLEEP_ON_WORD
			failed = slot[i].failed;
			closed = slot[i].closed;
			half_lap = slot[i].half_lap;
#endif
#ifndef NO_RECHECK
			judge()
#endif
		}
		look_at_end();
		if
		:: rc != AGAIN ->
			knows[me] = 0;
			break
		:: else
		fi;
#ifdef LATE_READ
		read_wakes();
#endif
		sleep();
		look()
	od;
	wanted = 0
}

inline draw_ticket()
{
	d_step {
		seq = ticket[side];
		ticket[side]++;
		i = seq % SLOTS;
		wanted = (START + seq / SLOTS * 2 + side) % LAPS
	}
}

/* Two of a side are alike: it does not matter which draws the first ticket, so the first ones are dealt out. */
proctype worker(byte me; bit side; byte seq)
{
	byte i, wanted, rc, k;
	bit w;
#ifdef SLEEP_ON_WORD
	byte half_lap;
	bit failed, closed;
#endif

	d_step {
		i = seq % SLOTS;
		wanted = (START + seq / SLOTS * 2 + side) % LAPS
	}
	do
	:: side == PRODUCER && seq >= ITEMS -> break
	:: else ->
	   take();
	   if
	   :: rc != OK -> break
	   :: else
	   fi;
	   d_step {
		assert(slot[i].owner == NOBODY);
		slot[i].owner = me;
		if
		:: side == PRODUCER -> slot[i].memory = seq + 1
		:: else ->
			assert(slot[i].memory == seq + 1 && !arrived[seq]);
			arrived[seq] = 1
		fi
	   }
	   d_step { /* advance() */
		assert(slot[i].owner == me);
		slot[i].owner = NOBODY;
		slot[i].half_lap = (slot[i].half_lap + 1) % LAPS;
		take_waiter()
	   }
	   wake();
	   draw_ticket()
	od;
	if
	:: side == PRODUCER && seq == ITEMS -> close_ring(ITEMS)
	:: else
	fi;
	atomic {
		seq = 0;
		i = 0;
		rc = 0
	}
}

/* At any moment. */
proctype disturber()
{
	byte i, k;
	bit w;
#ifdef LOWER
	close_ring(LOWER);
#endif
#ifdef POISON
	fail_ring();
#endif
	i = 0
}

init {
	byte j;
	atomic {
		do
		:: j < SLOTS ->
			slot[j].owner = NOBODY;
			slot[j].half_lap = START;
			j++
		:: else -> break
		od;
		j = 0;
		ticket[PRODUCER] = 2;
		ticket[CONSUMER] = 2;
		run worker(0, PRODUCER, 0);
		run worker(1, PRODUCER, 1);
		run worker(2, CONSUMER, 0);
		run worker(3, CONSUMER, 1);
		run disturber()
	}
	_nr_pr == 1;
	d_step {
		do
		:: j < ITEMS ->
			assert(fail_code || j >= end_at || arrived[j]);
			j++
		:: else -> break
		od
	}
}
