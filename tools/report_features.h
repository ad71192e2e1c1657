/* SPDX-License-Identifier: Apache-2.0 */
/* What of a run needs its images: sample views, neighbours, the map, the confusion of kNN. */
#ifndef RINGCLR_TOOLS_REPORT_FEATURES_H
#define RINGCLR_TOOLS_REPORT_FEATURES_H

#include "tools/html_report.h"
#include "tools/report_page.h"
#include "tools/report_read.h"

/* Adds the run's cards to a grid. What cannot be made (images that are not there, no checkpoint, no classes) is a line
 * that says why; only an interrupt and lack of memory are errors. with_views: also sample views. */
int report_features(struct html *html, const struct report_options *options, const struct report_run *run,
	bool with_views, struct error *err);

#endif
