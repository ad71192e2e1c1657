/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contrastive losses of Chen et al. 2020 (arXiv 2002.05709), values and gradients, in row tiles: never a 2N x 2N
 * matrix.
 *
 * With u = z / |z| (or u = z without normalisation), c_ij = u_i . u_j, t the temperature, m the margin and p(i) the
 * other view of i's image, each loss is the mean over all 2N rows i of
 *
 *	NT-Xent		log( sum over j != i of exp(c_ij / t) ) - c_ip(i) / t		(equation 1, Algorithm 1)
 *	NT-Logistic	-log sigma(c_ip(i) / t) - mean over n of log sigma(-c_in / t)	(Table 2)
 *	margin		mean over n of max(0, c_in - c_ip(i) + m)			(Table 2)
 *
 * where n runs over the negatives of row i that are taken: all 2N - 2 rows of other images, or the semi-hard ones,
 *
 *	c_ip(i) - m < c_in < c_ip(i),
 *
 * which are farther from i than its positive and within the margin of it (Schroff et al. 2015, arXiv 1503.03832,
 * section 3.2, there in squared distances: |u_i - u_j|^2 = 2 - 2 c_ij, so its alpha is 2 m; section 5.1 of the paper
 * asks for the same). m is in units of c_ij, before any temperature, for NT-Logistic too.
 *
 * The paper gives the terms of one positive and one negative and is silent on sums. Here a row's negatives weigh 1 in
 * all, as its positive does, however many are taken: a mean over 2N - 2, or over the row's own number of semi-hard
 * ones. A row without any keeps NT-Logistic's term of the positive, and adds 0 to the margin loss. The paper's appendix
 * B.10 takes, for simplicity, the negatives of one view alone for these two losses; here they are those of both, as
 * NT-Xent's are. Which negatives are taken counts as constant to the gradient, as it is but at the edges.
 */
#ifndef RINGCLR_MODEL_LOSS_H
#define RINGCLR_MODEL_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/arena.h"
#include "pipeline/error.h"
#include "pipeline/team.h"

enum loss_kind {
	LOSS_NT_XENT,
	LOSS_NT_LOGISTIC,
	LOSS_MARGIN,
	LOSS_CROSS_ENTROPY, /* not contrastive: cross_entropy.h */
};
enum loss_negatives { LOSS_NEGATIVES_ALL, LOSS_NEGATIVES_SEMI_HARD };

struct loss_config {
	enum loss_kind kind;
	enum loss_negatives negatives; /* semi-hard: not with NT-Xent, and margin is over 0 */
	bool normalize;		       /* u = z / |z|; otherwise u = z */
	double temperature;	       /* over 0; to the margin loss it is that of the entropy alone */
	double margin;		       /* at least 0; of the margin loss and of semi-hard negatives */
};

struct loss_result {
	double loss;
	double accuracy; /* share of rows whose positive is the first largest among the similarities, by column */
	/* Nats: mean over rows of the entropy of the softmax of c_ij / t over all j != i (Table 5). ln(2N - 1) when all
	 * similarities are the same. */
	double entropy;
	/* Wang & Isola 2020 (arXiv 2005.10242), section 4.1, always of z / |z|: the mean of |u_i - u_p(i)|^2 over the
	 * N images (alpha 2), and the log of the mean of exp(-2 |u_i - u_j|^2) over all pairs i < j of the 2N rows,
	 * positives included. */
	double alignment, uniformity;
};

struct contrastive_loss; /* scratch for up to max_rows rows, an even number */

/* ERROR_USAGE for a config that describes no loss. NULL on failure. */
struct contrastive_loss *contrastive_loss_create(
	struct arena *arena, const struct loss_config *config, uint32_t max_rows, unsigned dim, struct error *err);

const char *loss_name(enum loss_kind kind); /* "NT-Xent" */

/* z: [rows][dim], rows = 2N laid out as [all first views; all second views]; not normalised (this normalises).
 * dz: [rows][dim], gradient of the loss with respect to z. The loss is not finite when z is not. A norm below 1e-12
 * counts as 1e-12, as in torch.nn.functional.normalize. The same bits for any team. */
void contrastive_loss_forward_backward(struct contrastive_loss *loss, struct team *team, const float *z, uint32_t rows,
	float *dz, struct loss_result *result);

#endif
