/* SPDX-License-Identifier: Apache-2.0 */
/* Cards that the reports of profile and train have in common. */
#ifndef RINGCLR_TOOLS_REPORT_PARTS_H
#define RINGCLR_TOOLS_REPORT_PARTS_H

#include "tools/html_report.h"
#include "tools/measure.h"
#include "tools/sampler.h"

/* Shares of the stages' time, and the table of the times of their items. */
void report_shares(struct html *html, const struct measures *measures);
void report_times(struct html *html, const struct measures *measures);

/* Over the run: images a second, and how full the rings were. */
void report_rate(struct html *html, const struct sampler *sampler);
void report_rings(struct html *html, const struct sampler *sampler);

#endif
