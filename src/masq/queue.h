/* Those who have proved nothing. One packet from inside makes entries, and its source may be forged: by whoever has all
 * addresses of the inside network, again and again. So each table that such a packet fills has a queue. An entry takes the
 * next turn when it is made, and gives way when the queue has come round to its place, so many turns later as there are
 * places: the oldest first, whatever has come of the forger's other packets. It leaves the queue (turn 0) by what only
 * somebody who hears the server can send: an IKE packet with the responder's cookie of its item. An answer alone is no proof,
 * since any IKE responder answers a forged first message, too. ESP says no such thing; there the answer has to do.
 *
 * Nobody is refused for want of a turn, and whoever is answered within (places / packets a second) is not pushed out. An
 * entry that left its place early leaves it empty until its turn: no list to mend, one place written for each entry
 * made, nothing at all for other packets.
 *
 * Who gives way does so when the packet is done (mq_yield): until then both have an entry.
 *
 * Who includes it also defines:
 *   MQ_ROOM(m, queue)         places of that queue
 *   MQ_TURN(m, queue)         the next turn, from 1; 0: there is none
 *   MQ_PLACE(m, queue, turn)  union mq_place * where that turn falls, or NULL; of zeroes at first
 *   MQ_YIELDS(m)              struct mq_yields * of this processor, or NULL
 *   MQ_YIELDED(m)             an entry gave way: counts it */
#ifndef DT_MASQ_QUEUE_H
#define DT_MASQ_QUEUE_H

#include "masq/tables.h"

/* The next turn for `who`, whose place it takes. 0: there is none. */
MQ_FN uint64_t mq_queue_take(struct mq *m, enum mq_queue_id queue, const union mq_place *who)
{
    uint64_t turn = MQ_TURN(m, queue), room = MQ_ROOM(m, queue);
    union mq_place *p = MQ_PLACE(m, queue, turn);
    struct mq_yields *y = MQ_YIELDS(m);
    if (!turn || !p || !y)
        return 0;
    if (turn > room) {
        y->who[queue] = *p;
        y->turn[queue] = turn - room;
        y->any = 1;
    }
    *p = *who;
    return turn;
}

#endif
