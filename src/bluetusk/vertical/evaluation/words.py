"""The words of the reports in each of their languages, in one table.

Terms in Chinese follow JR/T 0196-2020 and the PPCA protocols where these have one, else the usage of credit scoring.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

__all__ = ["LANGUAGES", "TEXTS", "Words", "language"]

LANGUAGES = ("en", "zh")

TEXTS: dict[str, tuple[str, str]] = {
    # --- the page
    "title": ("Joint credit model", "联合信贷模型报告"),
    "title.host": ("Joint credit model: report of the host", "联合信贷模型报告（被动参与方）"),
    "subtitle": ("Job {job}: {rows} customers held back for the test", "作业 {job}：留出 {rows} 个客户用于测试"),
    "subtitle.host": (
        "Job {job}: {columns} columns, {rows} customers in common",
        "作业 {job}：{columns} 列，{rows} 个共有客户",
    ),
    "made": ("Made by bluetusk {version}. ", "由 bluetusk {version} 生成。"),
    "statistics": (
        "The file holds statistics of the test rows and of bins, and no single row; curves are drawn from at most "
        "{points} points. It still says much about the customers: keep it as you keep the data.",
        "本文件只含测试样本与分箱的统计量，不含任何单个样本；曲线至多由 {points} 个点绘成。"
        "统计量仍会透露客户群的许多信息，请按数据本身的要求保管。",
    ),
    "statistics.host": (
        "The file holds statistics of this party's columns, and no single row.",
        "本文件只含己方各列的统计量，不含任何单个样本。",
    ),
    "yes": ("yes", "是"),
    "no": ("no", "否"),
    "none": ("–", "–"),
    "percent": ("{value} %", "{value}%"),
    "between": ("{low} to {high}", "{low} 至 {high}"),
    "interval": ("95 %: {low} to {high}", "95% 置信区间：{low} 至 {high}"),
    "comma": (", ", "、"),
    # --- parties
    "party.guest": ("guest", "主动参与方"),
    "party.host": ("host", "被动参与方"),
    "all_columns": ("{party}: all columns together", "{party}的全部列（合计）"),
    # --- models
    "model.logistic_regression": ("Joint logistic regression", "联合逻辑回归"),
    "model.gradient_boosting": ("Joint gradient boosting", "联合梯度提升树"),
    "model.alone": ("Bank alone (logistic regression)", "仅用本行数据（逻辑回归）"),
    # --- headline
    "headline": ("Joint model against the bank alone", "联合模型与仅用本行数据的比较"),
    "headline.plain": ("The model on the test rows", "模型在测试样本上的表现"),
    "gain.better": (
        "{model} separates better than {baseline}: AUC {area} instead of {other}. The gain of {gain} has the 95 % "
        "interval {low} to {high}, above 0.",
        "“{model}”的区分能力优于“{baseline}”：前者的 AUC 为 {area}，后者为 {other}。增益 {gain}，95% 置信区间为 "
        "{low} 至 {high}，整个区间大于 0。",
    ),
    "gain.same": (
        "{model} cannot be told from {baseline} on these rows: AUC {area}, and {other}. The gain of {gain} has the "
        "95 % interval {low} to {high}, which contains 0.",
        "在这些样本上，“{model}”与“{baseline}”的区分能力没有显著差别：前者的 AUC 为 {area}，后者为 {other}。"
        "增益 {gain}，95% 置信区间为 {low} 至 {high}，包含 0。",
    ),
    "gain.worse": (
        "{model} separates worse than {baseline}: AUC {area} instead of {other}. The gain of {gain} has the 95 % "
        "interval {low} to {high}, below 0.",
        "“{model}”的区分能力不如“{baseline}”：前者的 AUC 为 {area}，后者为 {other}。增益 {gain}，95% 置信区间为 "
        "{low} 至 {high}，整个区间小于 0。",
    ),
    "gain.how": (
        "The interval is of the difference on the same rows (DeLong, paired); two overlapping intervals of single AUCs "
        "would say little.",
        "置信区间是同一批样本上两个 AUC 之差的区间（DeLong 配对法）；单个 AUC 的区间即使重叠，也说明不了问题。",
    ),
    "tile.gain": ("Gain in AUC: {model}", "AUC 增益（{model}）"),
    "tile.auc": ("AUC: {model}", "AUC（{model}）"),
    "tile.rows": ("Test rows", "测试样本"),
    "tile.events": ("{events} events, bad rate {rate}", "{events} 个事件，违约率 {rate}"),
    "tile.bad": ("Bad rate at {share} approved", "通过率为 {share} 时的违约率"),
    "tile.uneven": (
        "{model}; bank alone: {other} at {share} approved (equal scores)",
        "{model}；仅用本行数据：{other}（因评分相同，通过率为 {share}）",
    ),
    "tile.instead": ("{model}; bank alone: {other}", "{model}；仅用本行数据：{other}"),
    # --- models
    "models": ("Models on the same test rows", "各模型在同一批测试样本上的表现"),
    "model": ("model", "模型"),
    "auc": ("AUC (95 %)", "AUC（95% 区间）"),
    "gain": ("gain in AUC (95 %)", "AUC 增益（95% 区间）"),
    "ks": ("KS (95 %)", "KS 值（95% 区间）"),
    "brier": ("Brier score", "Brier 分数"),
    "psi": ("PSI", "PSI"),
    "models.note": (
        "AUC: how often an event scores above a non-event; Gini is 2 AUC - 1. KS: the largest distance between the two "
        "groups' distributions. Brier score: the mean squared error of the probabilities, smaller is better. PSI: the "
        "stability index of the score from the training rows to the test rows; below 0.1 stable, above 0.25 shifted, "
        "if it is also well above what so few rows give by chance.",
        "AUC：事件的评分高于非事件的比例；Gini 系数等于 2×AUC－1。KS 值：两组评分分布之间的最大距离。Brier 分数："
        "概率的均方误差，越小越好。PSI：评分从训练样本到测试样本的群体稳定性指标，低于 0.1 为稳定，"
        "高于 0.25 为明显偏移；还须明显高于样本数有限时的随机水平。",
    ),
    "psi.chance": ("by chance {value}", "随机水平 {value}"),
    # --- charts
    "chart.of": ("{model}: {chart}", "{model}：{chart}"),
    "chart.all": ("All models: {chart}", "全部模型：{chart}"),
    "chart.roc": ("ROC", "ROC 曲线"),
    "chart.roc.x": ("share of the good refused", "被拒绝的好客户占比"),
    "chart.roc.y": ("share of the events found", "识别出的事件占比"),
    "chart.approval": ("approval rate against bad rate", "通过率与违约率"),
    "chart.approval.x": ("approved, %", "通过率（%）"),
    "chart.approval.y": ("bad rate of the approved, %", "通过客户的违约率（%）"),
    "chart.lift": ("lift", "提升度"),
    "chart.lift.x": ("riskiest share, %", "风险最高的客户占比（%）"),
    "chart.lift.y": ("times as many events as on average", "事件占比与平均水平之比（倍）"),
    "chart.ks": ("Kolmogorov-Smirnov", "KS 曲线"),
    "chart.ks.x": ("predicted probability", "预测概率"),
    "chart.ks.y": ("share of rows at or below", "不高于该值的样本占比"),
    "chart.distribution": ("distribution of the score", "评分分布"),
    "chart.distribution.x": ("predicted probability", "预测概率"),
    "chart.distribution.y": ("density", "密度"),
    "chart.calibration": ("calibration", "校准"),
    "chart.calibration.x": ("predicted probability", "预测概率"),
    "chart.calibration.y": ("observed share of events", "实际事件占比"),
    "good": ("no event", "非事件"),
    "event": ("event", "事件"),
    "at_training": ("training rows", "训练样本"),
    "as_predicted": ("as predicted", "与预测一致"),
    "with_interval": ("tenths, with 95 %", "十等分，附 95% 区间"),
    "farthest": ("farthest apart: {value}", "最大距离：{value}"),
    # --- cut-offs
    "cutoffs": ("Cut-offs", "准入线"),
    "cutoffs.note": (
        "Customers whose predicted probability is at most the cut-off are approved. Bad rate: the share of events "
        "among rows. Each share is met as nearly as equal scores allow.",
        "预测概率不高于准入线的客户通过。违约率：样本中事件的占比。评分相同的客户不会被分开，因此通过率取最接近的值。",
    ),
    "approved": ("approved", "通过率"),
    "cutoff": ("cut-off", "准入线"),
    "bad_rate": ("bad rate", "违约率"),
    "bad_rate.alone": ("bad rate, bank alone", "违约率（仅本行）"),
    "bad_rate.at": ("at {share} approved", "通过率 {share}"),
    "confusion.approved": ("approved: bad + good", "通过：坏 + 好"),
    "confusion.refused": ("refused: bad + good", "拒绝：坏 + 好"),
    # --- swap set
    "swap": ("Swap set against the bank alone", "换入换出分析（与仅用本行数据相比）"),
    "swap.note": (
        "Each model approves {share} of the customers, as nearly as equal scores allow. What changes are the customers "
        "that one approves and the other refuses: the joint model earns its cost where the bad rate of those "
        "it swaps in is lower than that of those it swaps out.",
        "两个模型的通过率均取最接近 {share} 的值（评分相同的客户不会被分开）。"
        "变化在于只有一个模型通过的客户：换入客户的违约率低于换出客户，联合模型才值得采用。",
    ),
    "swap.uneven": (
        "Not at the same share: the joint model approves {ours}, the bank alone {theirs}, since many scores are equal. "
        "The numbers of customers and the bad rates differ for that reason too.",
        "通过率并不相同：联合模型为 {ours}，仅用本行数据为 {theirs}，因为许多客户评分相同。"
        "客户数和违约率的差别也有这一原因。",
    ),
    "swap.group": ("decision", "决策"),
    "swap.both": ("approved by both", "两个模型均通过"),
    "swap.in": ("swapped in: joint model alone", "换入：仅联合模型通过"),
    "swap.out": ("swapped out: bank alone", "换出：仅本行模型通过"),
    "swap.neither": ("refused by both", "两个模型均拒绝"),
    "rows": ("rows", "样本数"),
    "events": ("events", "事件数"),
    "bad_rate.ci": ("bad rate (95 %)", "违约率（95% 区间）"),
    # --- tenths
    "tenths": ("Tenths of the score, the riskiest first", "按评分十等分（风险由高到低）"),
    "tenth": ("tenth", "分组"),
    "caught": ("events so far", "累计事件占比"),
    "lift": ("lift so far", "累计提升度"),
    "lowest": ("lowest score", "最低概率"),
    # --- reasons
    "reasons": ("Reason codes", "原因码"),
    "reasons.note": (
        "What raises the risk of the customers that the cut-off at {share} approved refuses, compared with the average "
        "test row. The host's columns count as one reason: this party sees no more of them. A column that does not "
        "raise the risk of a customer is no reason for it.",
        "通过率为 {share} 时被拒绝的客户，与测试样本的平均水平相比，风险由哪些列抬高。被动参与方的列合计为一个原因："
        "己方看不到更细的信息。没有抬高某个客户风险的列，不算作该客户的原因。",
    ),
    "reasons.host": (
        "What this party's columns add to the risk of the customers held back, compared with their mean. This party "
        "does not know the scores, so the customers are all those held back.",
        "己方各列对留出客户风险的影响（与其平均水平相比）。己方不知道评分，因此统计的是全部留出客户。",
    ),
    "reasons.secret": (
        'Not known: the coefficients stay shared between the parties. `reveal = ["coefficients"]` in [model], which '
        "both policies must grant, opens each party's own to it.",
        '无法给出：系数始终由双方以分片形式持有。在 [model] 中设置 `reveal = ["coefficients"]`，并经双方策略授权，'
        "各方才能得到自己的系数。",
    ),
    "reasons.secret.host": (
        "Not known: this needs the coefficients and the weights of evidence of this party's bins, which the guest "
        'keeps unless both policies grant `reveal = ["coefficients", "woe"]`.',
        "无法给出：这需要己方各列的系数和分箱的证据权重，除非双方策略授权 "
        '`reveal = ["coefficients", "woe"]`，它们只由主动参与方掌握。',
    ),
    "reasons.nobody": ("No customer is refused at this cut-off.", "在此准入线下没有客户被拒绝。"),
    "reason": ("reason", "原因"),
    "reason.main": ("main reason of", "作为主要原因"),
    "reason.among": ("among the first {first}", "列前 {first} 位"),
    "reason.mean": ("mean, log-odds", "平均影响（对数几率）"),
    # --- columns
    "columns": ("Columns", "各列概览"),
    "columns.note": (
        "Information value (IV): 0.02 weak, 0.1 medium, 0.3 strong. PSI: the stability index from the training rows to "
        "the test rows, of this party's columns only: of the other's it sees no values.",
        "信息值（IV）：0.02 为弱，0.1 为中等，0.3 为强。PSI：从训练样本到测试样本的群体稳定性指标，只列出己方的列："
        "对方的取值己方看不到。",
    ),
    "columns.host": (
        "PSI: the stability index from the training rows to the rows held back. This party learns no information "
        "value, bad rate or score: these would be statistics of the labels.",
        "PSI：从训练样本到留出样本的群体稳定性指标。己方不会得到信息值、违约率或评分：它们都是标签的统计量。",
    ),
    "column": ("column", "列"),
    "party": ("party", "参与方"),
    "bins": ("bins", "分箱数"),
    "iv": ("IV", "IV"),
    "importance": ("share of the gain, trees", "增益占比（树模型）"),
    "importance.host": ("share of this party's splits, trees", "己方分裂占比（树模型）"),
    "coefficient": ("coefficient, regression", "系数（逻辑回归）"),
    "remark": ("remark", "备注"),
    "one_bin": ("one bin", "仅一个分箱"),
    "left_out": ("left out: below min_iv", "未采用：低于 min_iv"),
    "one_bin.list": (
        "Columns with one bin, which say nothing in the regression: {names}.",
        "只有一个分箱、对逻辑回归没有作用的列：{names}。",
    ),
    "one_bin.none": ("No column has only one bin.", "没有只含一个分箱的列。"),
    "columns.more": (
        "{shown} of {all} columns are listed, those with the largest information values first.",
        "列出 {all} 列中的 {shown} 列，信息值大的在前。",
    ),
    # --- bins
    "bins.title": ("Bins", "分箱"),
    "bins.title.points": ("Bins and scorecard", "分箱与评分卡"),
    "bins.note": (
        "Weight of evidence (WoE): above 0 (a red bar to the right) events are more frequent than on average. Rows are "
        "training rows, without those that calibrate the regression. A bin with too few events has the weight of a "
        "neighbour, or 0. This party knows the counts of the host's bins, not their edges.",
        "证据权重（WOE）：大于 0（红色条向右）表示事件比平均水平更多。样本数指训练样本，不含用于校准逻辑回归的样本。"
        "事件过少的分箱取相邻分箱的权重，或取 0。对被动参与方的分箱，己方只知道样本数和事件数，不知道分箱边界。",
    ),
    "bins.note.host": (
        "Rows are training rows, without those that calibrate the regression. The events of a bin, and so its weight "
        "of evidence, stay at the guest.",
        "样本数指训练样本，不含用于校准逻辑回归的样本。各分箱的事件数和证据权重只由主动参与方掌握。",
    ),
    "bins.note.revealed": (
        "Rows are training rows, without those that calibrate the regression. Weights of evidence (WoE) and "
        "information values were revealed; they are made from numbers of events with noise.",
        "样本数指训练样本，不含用于校准逻辑回归的样本。证据权重（WOE）和信息值经授权公开，由加噪后的事件数算出。",
    ),
    "bins.more": (
        "{shown} of {all} columns are shown; `binning.bt` beside this report holds all bins, `result.json` all points.",
        "列出 {all} 列中的 {shown} 列；全部分箱见本报告同一目录下的 `binning.bt`，全部分值见 `result.json`。",
    ),
    "bin": ("bin", "分箱"),
    "rate": ("bad rate", "违约率"),
    "woe": ("WoE", "WOE"),
    "points": ("points", "分值"),
    "bin.number": ("bin {number}", "分箱 {number}"),
    "bin.others": ("others", "其他"),
    "bin.missing": ("missing", "缺失"),
    "bin.further": ("{count} further bins", "另有 {count} 个分箱"),
    "iv.of": ("IV {value}", "IV {value}"),
    "base": ("Base points of every customer, from this party: {value}.", "每个客户的基础分（己方部分）：{value}。"),
    "scale": (
        "Scale: {score} points at odds of {odds} to 1 against the event; {pdo} points double the odds (PDO). A higher "
        "score is a better customer; the score is the sum of the points over both parties.",
        "评分刻度：好坏比为 {odds}:1 时为 {score} 分；好坏比翻倍所需的分值（PDO）为 {pdo} 分。分数越高，客户越好；"
        "总分为双方分值之和。",
    ),
    "scale.calibrated": (
        " That is by the regression's own log-odds; by the calibrated probabilities of this report {score} points are "
        "odds of {odds} to 1, and {pdo} points double them.",
        "以上按逻辑回归自身的对数几率计；按本报告中校准后的概率，{score} 分对应的好坏比为 {odds}:1，"
        "好坏比翻倍所需的分值为 {pdo} 分。",
    ),
    "scale.secret": (
        "There is no scorecard: the coefficients stay shared. The guest's scores are points of another scale, 0 to "
        "1023, of which 20 double the odds near the average customer, who has 256.",
        "没有评分卡：系数始终以分片形式持有。主动参与方得到的评分是另一刻度的分值（0 至 1023），平均客户为 256 分，"
        "其附近每 20 分好坏比翻倍。",
    ),
    # --- the run
    "run": ("The run", "本次运行"),
    "settings": ("Settings", "参数"),
    "value": ("value", "取值"),
    "fact.job": ("job", "作业"),
    "fact.date": ("date of the run (UTC)", "运行日期（UTC）"),
    "fact.role": ("this party", "己方"),
    "fact.common": ("customers in common", "共有客户"),
    "fact.split": ("for training; held back", "训练；留出"),
    "fact.train_events": ("events among the training rows", "训练样本中的事件"),
    "fact.key": ("Paillier key", "Paillier 密钥"),
    "bits": ("{value} bits", "{value} 比特"),
    "fact.seconds": ("seconds, of all tasks", "各任务用时合计（秒）"),
    "fact.bytes": ("bytes sent; received", "发送；接收的字节数"),
    "fact.reveal": ("opened exactly (reveal)", "精确公开的内容（reveal）"),
    "fact.psi": ("PSI of the regression: training rows are", "逻辑回归的 PSI：训练样本取"),
    "fact.calibration": (
        "those that calibrate it, {rows}; the scores of the others stay secret",
        "用于校准的样本，共 {rows} 个；其余训练样本的评分始终保密",
    ),
    "facts": ("Facts", "概况"),
    "fact.nothing": ("nothing", "无"),
    "fact.default": ("by the data", "由数据决定"),
    "fact.versions": ("versions", "版本"),
    "shown": ("What each side has seen", "各方所见"),
    "shown.note": (
        "By the meter of this party. Sums and bits: what it learned about rows of the other party, in the tasks of "
        "this job. Values: what it showed the other party. The signed policies cap both.",
        "依据己方的计量。总和与比特：己方在本作业各任务中得知的关于对方样本的信息量。值：己方展示给对方的值的个数。"
        "双方均受已签署的授权策略限制。",
    ),
    "shown.peer": (
        "The other party has learned at most {sums} sums and {bits} bits about rows of this one, in this job and all "
        "before it: so this party's guard has counted.",
        "据己方的授权核查计数，对方在本作业及此前所有作业中，至多得知关于己方样本的 {sums} 个总和与 {bits} 比特。",
    ),
    "shown.none": (
        "Nothing was metered: the run had no [evidence].",
        "没有计量：本次运行未配置 [evidence]。",
    ),
    "task": ("task", "任务"),
    "sums": ("sums learned", "得知的总和"),
    "bits.learned": ("bits learned", "得知的比特"),
    "values": ("values shown", "展示的值"),
    "total": ("total", "合计"),
    "task.agree": ("compare settings", "比对配置"),
    "task.intersect": ("find the customers in common", "求共有客户（隐私集合求交）"),
    "task.split": ("hold rows back", "留出样本"),
    "task.woe-binning": ("bin columns", "对列分箱"),
    "task.logistic_regression": ("logistic regression", "逻辑回归"),
    "task.logistic_regression.predict": ("scores of the regression", "回归评分"),
    "task.gradient_boosting": ("gradient boosting", "梯度提升树"),
    "task.gradient_boosting.predict": ("scores of the trees", "梯度提升树评分"),
    "task.confirm": ("confirm the results", "确认结果"),
    "warnings": ("Warnings of the run", "运行告警"),
    "warnings.note": (
        "As the program gave them.",
        "英文告警为程序原文。",
    ),
    "warnings.unseen": (
        "{column}: {count} of {rows} values are of categories, or gaps, that no training row has.",
        "{column}：{rows} 个取值中有 {count} 个属于训练样本中未出现的类别或缺失值。",
    ),
    "warnings.none": ("There were none.", "无。"),
    "warnings.more": ("{count} more in result.json", "另有 {count} 条，见 result.json"),
    "evidence": ("Evidence", "存证"),
    "evidence.records": ("records in this party's log", "己方日志的记录数"),
    "evidence.head": ("head of this party's log", "己方日志头"),
    "evidence.peer_head": ("head of the other party's log, kept here", "己方保存的对方日志头"),
    "evidence.how": (
        "`bluetusk evidence verify` checks the log against the head that the other party keeps.",
        "`bluetusk evidence verify` 用对方保存的日志头检验日志。",
    ),
    # --- what was not done
    "not_done": ("What was not done", "未做的工作"),
    "not.reject": (
        "Reject inference: all rows are customers whose outcome is known. For applicants who were refused in the past "
        "the figures may be too good.",
        "拒绝推断：全部样本都是已有结果的客户。对过去被拒绝的申请人，以上结果可能偏乐观。",
    ),
    "not.time": (
        "A test on a later period: the rows held back are drawn at random from the same period as the training rows.",
        "跨期验证：留出样本与训练样本随机取自同一时期。",
    ),
    "not.training": (
        "The spread of the training: intervals describe the sampling of test rows, not what another training would "
        "give.",
        "训练的波动：置信区间只反映测试样本的抽样误差，不反映重新训练会带来的差别。",
    ),
    "not.many": (
        "A correction for several models and cut-offs that were looked at on the same test rows.",
        "多重比较校正：多个模型和准入线是在同一批测试样本上查看的。",
    ),
    "not.kind": (
        "A model of each kind for the bank alone: where the joint model is of another kind, its gain includes what "
        "that kind of model gains by itself, without the other party's columns.",
        "同类模型的对照：仅用本行数据时只训练了一种模型；联合模型若属另一种类，其增益也包含该类模型本身带来的部分，"
        "与对方的列无关。",
    ),
    "not.money": (
        "Amounts: every customer counts alike; profit, loss given default and exposure are not in the data.",
        "金额：每个客户同等计数；收益、违约损失率和敞口不在数据之中。",
    ),
    "not.fairness": (
        "A test for unequal treatment of groups of customers.",
        "公平性检验：未检验不同客户群体是否受到不同对待。",
    ),
    "not.expert": (
        "A check of bins, signs and reasons by experts: the bins are cut by rule.",
        "专家审核：分箱按规则切分，分箱、系数符号和原因码均未经专家审核。",
    ),
    "not.host": (
        "The quality of the model is not in this report: this party has no labels. The guest's report has it.",
        "模型效果：己方没有标签，模型效果见主动参与方的报告。",
    ),
}
"""Each text in the languages of :data:`LANGUAGES`, by key; `{name}` is filled in."""


class Words:
    """The words of one language.

    Parameters
    ----------
    lang : {"en", "zh"}
        The language.

    Raises
    ------
    ValueError
        If the language is another.

    Examples
    --------
    >>> Words("en")("bits", value=3072), Words("zh")("bits", value=3072)
    ('3072 bits', '3072 比特')
    """

    def __init__(self, lang: str) -> None:
        if not isinstance(lang, str) or lang not in LANGUAGES:
            raise ValueError(f"lang must be {' or '.join(map(repr, LANGUAGES))}, not {lang!r:.40}")
        self.lang = lang
        self._place = LANGUAGES.index(lang)

    def __call__(self, key: str, **values: Any) -> str:
        """Return a text with its values filled in."""
        return TEXTS[key][self._place].format(**values)

    def known(self, key: str, otherwise: str) -> str:
        """Return a text without values, or something else if there is none of that name."""
        return TEXTS[key][self._place] if key in TEXTS else otherwise

    def percent(self, share: float, digits: int = 1) -> str:
        """Return a share as a percentage."""
        value = 100 * share
        return self("percent", value=self.significant(value, digits) if abs(value) < 0.1 else f"{value:.{digits}f}")

    def significant(self, value: float, digits: int) -> str:
        """Return a number with some decimals, or two more than it has zeros behind the point: rare events are not 0.

        Examples
        --------
        >>> Words("en").significant(0.25, 1), Words("en").significant(0.000321, 1), Words("en").significant(0.0, 1)
        ('0.2', '0.00032', '0.0')
        """
        zeros = -math.floor(math.log10(abs(value))) - 1 if value else 0
        return f"{value:.{max(digits, zeros + 2) if zeros > 0 else digits}f}"


def language(given: str | None, environ: Mapping[str, str] | None = None) -> str:
    """Return the language of a report: the one given, else that of the locale.

    Parameters
    ----------
    given : {"en", "zh"} or None
        An option or a setting.
    environ : mapping of str to str, optional
        By default the environment of the process. The first of LC_ALL, LC_MESSAGES and LANG that is set decides.

    Returns
    -------
    {"en", "zh"}
        "zh" for a locale of Chinese, "en" for any other.

    Raises
    ------
    ValueError
        If the language given is another.

    Examples
    --------
    >>> language(None, {"LANG": "zh_CN.UTF-8"}), language(None, {"LC_ALL": "C", "LANG": "zh_CN"}), language("zh", {})
    ('zh', 'en', 'zh')
    """
    if given is not None:
        return Words(given).lang
    settings = os.environ if environ is None else environ
    named = next((settings[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if settings.get(name)), "")
    main = named.replace("-", "_").partition("_")[0].partition(".")[0].lower()
    return "zh" if main == "zh" else "en"
