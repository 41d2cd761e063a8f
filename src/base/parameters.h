/* The defaults of the originals' parameters (docs/origins.md), for both ends and for the NAT. keylife, rekeymargin and
 * rekeyfuzz are US 7,155,740's own; timeout leaves room for a handful of retransmissions; the others were chosen by `dovetail-sim sweep`
 * (docs/parameters.md has the table and how to make it again). */
#ifndef DT_BASE_PARAMETERS_H
#define DT_BASE_PARAMETERS_H

#include "base/time.h"

#define DT_DEFAULT_KEYLIFE     (8 * 3600 * DT_SEC)
#define DT_DEFAULT_REKEYMARGIN (540 * DT_SEC)
#define DT_DEFAULT_REKEYFUZZ   100 /* per cent */
#define DT_DEFAULT_TIMEOUT     (10 * DT_SEC)

#define DT_DEFAULT_MAXIDLE    (20 * DT_SEC)
#define DT_DEFAULT_PINGTIME   (1 * DT_SEC)
#define DT_DEFAULT_PINGTRIES  12
#define DT_DEFAULT_PINGTIME2  (1 * DT_SEC)
#define DT_DEFAULT_PINGTRIES2 3
#define DT_DEFAULT_ELIMIT     2

#define DT_DEFAULT_T_OUT (2 * DT_SEC)
#define DT_DEFAULT_N_OUT 4
#define DT_DEFAULT_T_EI  (300 * DT_SEC)

#endif
