/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/evaluate.h"

#include "model/cross_entropy.h"
#include "stages/view_policy.h"

static int check_classes(const struct evaluate_config *config, struct error *err)
{
	const struct shard *train = shard_set_at(config->train, 0), *test = shard_set_at(config->test, 0);
	if (shard_classes(train) == 0)
		return error_set(err, ERROR_MISMATCH,
			"%s: the images have no classes, so nothing can be evaluated; pack class folders",
			shard_path(train));
	if (!shard_same_classes(train, test))
		return error_set(err, ERROR_MISMATCH,
			"%s and %s have different classes; pack both from the same folders", shard_path(train),
			shard_path(test));
	return 0;
}

static struct epoch_plan *create_plan(
	const struct evaluator *evaluator, int side, enum epoch_order order, uint64_t seed, struct error *err)
{
	struct epoch_plan_config plan = {.order = order, .seed = seed};
	if (side == 1)
		return epoch_plan_create(evaluator->config.test, &plan, err);
	plan.limit = evaluator->config.limit;
	plan.subset_seed = EVALUATE_SUBSET_SEED;
	plan.records = evaluator->config.records;
	plan.record_count = evaluator->config.record_count;
	return epoch_plan_create(evaluator->config.train, &plan, err);
}

const struct epoch_plan *evaluator_plan(
	struct evaluator *evaluator, enum epoch_order order, uint64_t seed, struct error *err)
{
	evaluator->plans[2] = create_plan(evaluator, 0, order, seed, err);
	return evaluator->plans[2];
}

int evaluate_check_labels(
	const struct shard_set *set, const struct epoch_plan *plan, const char *needed_by, struct error *err)
{
	uint64_t count = plan ? epoch_plan_length(plan) : shard_set_records(set);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t number = plan ? epoch_plan_record(plan, 0, i) : i;
		const struct shard_record *record = shard_set_record(set, number);
		unsigned shard;
		uint32_t local;
		if (record->label >= 0)
			continue;
		shard_set_locate(set, number, &shard, &local);
		return error_set(err, ERROR_MISMATCH,
			"%s: image '%s' has no label, which %s needs: pack class folders, or leave it out",
			shard_path(shard_set_at(set, shard)), record->key, needed_by);
	}
	return 0;
}

/* One set's loader and table. */
static int create_side(struct evaluator *evaluator, int side, struct error *err)
{
	struct runtime *runtime = evaluator->runtime;
	const struct shard_set *set = side ? evaluator->config.test : evaluator->config.train;
	evaluator->plans[side] = create_plan(evaluator, side, EPOCH_SEQUENTIAL, 0, err);
	if (!evaluator->plans[side] || evaluate_check_labels(set, evaluator->plans[side], "evaluation", err) < 0)
		return err->code;
	uint64_t count = epoch_plan_length(evaluator->plans[side]);
	struct loader_config config = runtime_loader_config(runtime);
	config.set = set;
	config.plan = evaluator->plans[side];
	config.batch = evaluator->config.batch;
	view_policies_init(&config.policies, 1, VIEW_CENTER, evaluator->config.size, 0);
	evaluator->loaders[side] = loader_create(runtime->arena, &config, err);
	if (!evaluator->loaders[side])
		return err->code;
	struct encode_table *table = &evaluator->tables[side];
	table->dim = evaluator->config.dim;
	if (side == 0 && evaluator->config.train_streams)
		return 0;
	table->features = arena_alloc(runtime->arena, "features", count * table->dim, sizeof(float), 0, err);
	table->labels = arena_alloc(runtime->arena, "features", count, sizeof(int32_t), 0, err);
	return table->features && table->labels ? 0 : err->code;
}

int evaluator_create(
	struct evaluator *evaluator, struct runtime *runtime, const struct evaluate_config *config, struct error *err)
{
	*evaluator = (struct evaluator){.config = *config, .runtime = runtime};
	if (check_classes(config, err) < 0)
		return err->code;
	evaluator->classes = shard_classes(shard_set_at(config->train, 0));
	if (create_side(evaluator, 0, err) < 0 || create_side(evaluator, 1, err) < 0)
		return err->code;
	uint64_t tests = epoch_plan_length(evaluator->plans[1]);
	evaluator->predicted = arena_alloc(runtime->arena, "features", tests, sizeof(int32_t), 0, err);
	return evaluator->predicted ? 0 : err->code;
}

void evaluator_destroy(struct evaluator *evaluator)
{
	for (int side = 0; side < 2; side++)
		loader_destroy(evaluator->loaders[side]);
	for (int i = 0; i < 3; i++)
		epoch_plan_destroy(evaluator->plans[i]);
}

int evaluator_encode(struct evaluator *evaluator, int side, struct net *net, struct error *err)
{
	struct runtime *runtime = evaluator->runtime;
	loader_once(evaluator->loaders[side]);
	return encode_tap(evaluator->loaders[side], net, evaluator->config.tap, runtime->team, runtime->placement,
		encode_keep, &evaluator->tables[side], err);
}

struct classifying {
	struct encode_table *table;
	struct net *net;
	struct team *team;
	uint64_t hits;
};

/* The encoder's forward has just run on the batch: the head goes on from there. */
static int classify_batch(
	void *ctx, uint64_t first, const struct batch *batch, const float *features, struct error *err)
{
	struct classifying *classifying = ctx;
	unsigned classes = net_output_dim(classifying->net);
	int code = encode_keep(classifying->table, first, batch, features, err);
	net_forward_head(classifying->net, classifying->team);
	const float *logits = net_output(classifying->net);
	for (uint32_t i = 0; i < batch->images; i++)
		classifying->hits += batch->label[i] >= 0 && cross_entropy_choice(logits + (size_t)i * classes,
								     classes) == (unsigned)batch->label[i];
	return code;
}

int evaluator_classify(struct evaluator *evaluator, struct net *net, double *top1, struct error *err)
{
	struct runtime *runtime = evaluator->runtime;
	struct classifying classifying = {.table = &evaluator->tables[1], .net = net, .team = runtime->team};
	loader_once(evaluator->loaders[1]);
	int code = encode_images(
		evaluator->loaders[1], net, runtime->team, runtime->placement, classify_batch, &classifying, err);
	if (code == 0)
		*top1 = 100 * (double)classifying.hits / (double)evaluator->tables[1].count;
	return code;
}

struct probe_data evaluator_data(const struct evaluator *evaluator, int side)
{
	const struct encode_table *table = &evaluator->tables[side];
	return (struct probe_data){
		.features = table->features,
		.labels = table->labels,
		.count = table->count,
		.predicted = side ? evaluator->predicted : NULL,
	};
}

int evaluator_knn(struct evaluator *evaluator, struct probe_score *score, struct error *err)
{
	struct probe_data bank = evaluator_data(evaluator, 0), test = evaluator_data(evaluator, 1);
	return probe_knn(evaluator->runtime->team, &bank, &test, evaluator->config.dim, evaluator->classes,
		evaluator->config.knn_k, EVALUATE_KNN_TEMPERATURE, score, err);
}

int evaluator_linear(
	struct evaluator *evaluator, const double *ridges, size_t count, struct probe_score *score, struct error *err)
{
	struct probe_data train = evaluator_data(evaluator, 0), test = evaluator_data(evaluator, 1);
	return probe_logistic_lbfgs(evaluator->runtime->team, &train, NULL, &test, evaluator->config.dim,
		evaluator->classes, ridges, count, score, err);
}
