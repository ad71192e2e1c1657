/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervised defaults are those of He et al. 2016 (arXiv 1512.03385) for both CIFAR and ImageNet: SGD with
 * momentum, rate 0.1 at 256 images, weight decay 1e-4; with the linear scaling and the warm-up of five epochs of Goyal
 * et al. 2017 (arXiv 1706.02677), and this program's cosine. SimCLR's paper does not say what its supervised baselines
 * were trained with, and LARS pays at thousands of images a step; --optimizer lars is there.
 */
#include "tools/train_supervised.h"

#include <stdio.h>
#include <string.h>

#include "io/class_draw.h"
#include "tools/command.h"

static bool is_default(const struct train_job *job, const char *name)
{
	return options_origin(&job->parsed, name) == OPTION_DEFAULT;
}

/* Options of one loss given to another would change nothing, or mean nothing. */
static int check_contrastive_options(const struct train_job *job, struct error *err)
{
	const struct train_options *o = &job->options;
	bool semi_hard = o->negatives == LOSS_NEGATIVES_SEMI_HARD;
	if (semi_hard && (o->loss == LOSS_NT_XENT || o->loss == LOSS_CROSS_ENTROPY))
		return error_set(err, ERROR_USAGE,
			"--negatives semi-hard is for --loss nt-logistic and margin: leave it out, or choose one of "
			"them; nt-xent takes all negatives and weighs them by itself");
	if (semi_hard && o->margin == 0)
		return error_set(err, ERROR_USAGE,
			"--negatives semi-hard with --margin 0 leaves no negative: give a margin over 0");
	if (!semi_hard && o->loss != LOSS_MARGIN && options_given(&job->parsed, "margin"))
		return error_set(err, ERROR_USAGE,
			"--margin is for --loss margin and for --negatives semi-hard: leave it out, or choose one of "
			"these");
	return 0;
}

/* What cannot be meant. */
static int check_loss_options(const struct train_job *job, struct error *err)
{
	const struct train_options *o = &job->options;
	bool supervised = o->loss == LOSS_CROSS_ENTROPY;
	if (job->finetune && !supervised)
		return error_set(err, ERROR_USAGE,
			"finetune trains a classifier; for another loss from an encoder's weights use 'ringclr train "
			"--init'");
	if (!supervised && o->label_fraction < 1)
		return error_set(err, ERROR_USAGE,
			"--label-fraction chooses labelled images for --loss cross-entropy; --limit-images takes a "
			"part of the images for any loss");
	if (o->init_from != 0 && (!o->init || !supervised))
		return error_set(err, ERROR_USAGE,
			"--init-from head1 puts a classifier on the hidden layer of a trained head: it needs --init "
			"and "
			"--loss cross-entropy");
	return check_contrastive_options(job, err);
}

int train_settle_loss(struct train_job *job, struct error *err)
{
	struct train_options *o = &job->options;
	if (check_loss_options(job, err) < 0)
		return err->code;
	if (job->finetune && is_default(job, "epochs"))
		o->epochs = o->label_fraction < 0.1 ? 60 : 30;
	if (job->finetune || o->loss != LOSS_CROSS_ENTROPY)
		return 0; /* finetune's table has its own */
	struct {
		const char *name;
		double *value, supervised;
	} defaults[] = {
		{"lr", &o->lr, 0.1}, {"weight-decay", &o->weight_decay, 1e-4}, {"warmup-epochs", &o->warmup_epochs, 5}};
	for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++)
		if (is_default(job, defaults[i].name))
			*defaults[i].value = defaults[i].supervised;
	if (is_default(job, "optimizer"))
		o->optimizer = OPTIMIZER_SGD;
	if (is_default(job, "views"))
		o->views = "crop-flip";
	return 0;
}

/* ---- --init ---- */

/* The option's text is the file's, or the user gave none, and it becomes that. */
static int take_text(
	struct train_job *job, const char *name, const char **value, const char *of_file, struct error *err)
{
	if (is_default(job, name))
		*value = of_file;
	if (strcmp(*value, of_file) == 0)
		return 0;
	return error_set(err, ERROR_MISMATCH, "%s holds weights of --%s %s, not %s: leave the option out",
		job->start.path, name, of_file, *value);
}

static int take_options(struct train_job *job, struct error *err)
{
	static const char *const stems[] = {"auto", "cifar", "imagenet"};
	struct train_options *o = &job->options;
	const struct net_config *net = &job->start.about.net;
	if (is_default(job, "size"))
		o->size = net->size;
	unsigned chosen = o->stem == NET_STEM_AUTO ? (unsigned)net->stem : o->stem;
	const char *stem = stems[chosen];
	snprintf(job->start.model, sizeof job->start.model, "resnet%u", net->depth);
	if (take_text(job, "model", &o->model, job->start.model, err) < 0 ||
		take_text(job, "stem", &stem, stems[net->stem], err) < 0)
		return err->code;
	o->stem = (unsigned)net->stem;
	if (is_default(job, "width"))
		o->width = (double)net->width;
	if ((float)o->width != net->width)
		return error_set(err, ERROR_MISMATCH, "%s holds weights of --width %g, not %g: leave the option out",
			job->start.path, (double)net->width, o->width);
	if (is_default(job, "input"))
		o->input = net_normalizes(net) ? TRAIN_INPUT_IMAGENET : TRAIN_INPUT_UNIT;
	if ((o->input == TRAIN_INPUT_IMAGENET) != net_normalizes(net))
		return error_set(err, ERROR_MISMATCH,
			"%s holds weights of a net that takes views %s: leave --input out", job->start.path,
			net_normalizes(net) ? "normalised" : "as they are");
	bool hidden =
		net->head == NET_HEAD_MLP2 || net->head == NET_HEAD_MLP3 || net->head == NET_HEAD_HIDDEN_CLASSIFIER;
	if (o->init_from != 0 && !hidden)
		return error_set(err, ERROR_MISMATCH,
			"%s holds no hidden layer of a projection head: use --init-from h, or weights of a run with "
			"--head mlp2 or mlp3",
			job->start.path);
	return 0;
}

int train_start_open(struct train_job *job, struct error *err)
{
	struct train_start *start = &job->start;
	if (!job->options.init)
		return 0;
	if (weights_path(start->path, job->options.init, err) < 0)
		return err->code;
	struct safetensors *file = safetensors_open(start->path, err);
	if (!file)
		return err->code;
	int code = checkpoint_about(start->path, file, &start->about, err);
	safetensors_close(file);
	return code < 0 ? code : take_options(job, err);
}

int train_start_load(struct train_job *job, struct error *err)
{
	if (!job->options.init)
		return 0;
	struct safetensors *file = safetensors_open(job->start.path, err);
	if (!file)
		return err->code;
	int code = checkpoint_load_encoder(job->start.path, file, job->net, job->options.init_from != 0, err);
	safetensors_close(file);
	return code;
}

/* ---- Labels ---- */

/* No mistake, because a file of options may serve several losses. */
static void note_unused(const struct train_job *job)
{
	static const char *const contrastive[] = {"temperature", "head", "head-dim"};
	for (size_t i = 0; !job->options.quiet && i < sizeof contrastive / sizeof contrastive[0]; i++)
		if (options_given(&job->parsed, contrastive[i]))
			command_note(job->parsed.table->command,
				"--%s is of contrastive losses: with cross-entropy the head is a classifier",
				contrastive[i]);
}

int train_draw_labelled(struct train_job *job, struct error *err)
{
	const struct train_options *o = &job->options;
	if (o->loss != LOSS_CROSS_ENTROPY)
		return 0;
	note_unused(job);
	const struct shard *first = shard_set_at(job->data, 0);
	if (shard_classes(first) == 0)
		return error_set(err, ERROR_MISMATCH,
			"%s: the images have no classes, which --loss cross-entropy needs: pack class folders",
			shard_path(first));
	if (o->label_fraction >= 1)
		return evaluate_check_labels(job->data, NULL, "--loss cross-entropy", err);
	return class_draw_subset(job->data, o->label_fraction, o->split_seed, &job->subset, &job->subset_count, err);
}

void train_choose_head(const struct train_job *job, struct net_config *net)
{
	const struct train_options *o = &job->options;
	net->head = (enum net_head)o->head;
	net->head_dim = (unsigned)o->head_dim;
	if (o->loss != LOSS_CROSS_ENTROPY)
		return;
	net->head = o->init_from != 0 ? NET_HEAD_HIDDEN_CLASSIFIER : NET_HEAD_CLASSIFIER;
	net->head_dim = shard_classes(shard_set_at(job->data, 0));
}
