"""Where stages and flows read and write, relative to the project root: one name for each place."""

from dataclasses import dataclass
from pathlib import Path

from tasks.core.state import State

TRACKED = "*.dvc"
"""Names of the files that stand beside what DVC tracks, and that git keeps in its place."""


@dataclass(frozen=True)
class Paths(State):
    """Every place below `root`, the folder that holds params.yaml and dvc.yaml."""

    @property
    def params(self) -> Path:
        """Every setting of a run."""
        return self.root / "params.yaml"

    @property
    def pipeline(self) -> Path:
        """The declaration of the stages that DVC follows."""
        return self.root / "dvc.yaml"

    @property
    def own(self) -> Path:
        """Rows of a project's own, where nothing else is said."""
        return self.data / "own"

    @property
    def collected(self) -> Path:
        """Answers that a person marked while talking to a model: rows for the next run."""
        return self.data / "collected"

    @property
    def requirements(self) -> Path:
        """Every version that the results depend on."""
        return self.root / "requirements.lock"

    @property
    def policies(self) -> Path:
        """How the stages of deployed runs are carried out."""
        return self.root / "infra/stages.yaml"

    @property
    def deployments(self) -> Path:
        """What the Prefect server starts without a person."""
        return self.root / "infra/prefect.yaml"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def seed(self) -> Path:
        """The embedded grammar: phrasings, commands and names of the default project."""
        return self.data / "seed"

    @property
    def base(self) -> Path:
        """The base model: `base.json`, and `model/` and `pretraining/` where it was trained here."""
        return self.data / "base"

    @property
    def generated(self) -> Path:
        """Synthetic rows and their ledger."""
        return self.data / "generated"

    @property
    def responses(self) -> Path:
        """The record of every response of a teacher, kept from run to run."""
        return self.data / "responses.jsonl"

    @property
    def clean(self) -> Path:
        """`train`, `validation`, `test` and `left_out` as Parquet, and `ledger.json`."""
        return self.data / "clean"

    def rows(self, split: str) -> Path:
        """Canonical rows of `split`: train, validation or test."""
        return self.clean / f"{split}.parquet"

    @property
    def ledger(self) -> Path:
        """What became of every row that `clean` saw."""
        return self.clean / "ledger.json"

    @property
    def profile(self) -> Path:
        """What the rows are like: lengths, sources, languages."""
        return self.clean / "profile.json"

    @property
    def templates(self) -> Path:
        """Chat templates of the user."""
        return self.data / "templates"

    @property
    def templated(self) -> Path:
        """Token ids and labels as Arrow, the tokenizer as it was used, and `audit.json`."""
        return self.data / "templated"

    def tokens(self, split: str) -> Path:
        """Token ids and labels of `split`: train or validation."""
        return self.templated / f"{split}.arrow"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer as rows were templated with it."""
        return self.templated / "tokenizer"

    @property
    def audit(self) -> Path:
        """Rows and tokens of each split, and every finding of the audit."""
        return self.templated / "audit.json"

    @property
    def counts(self) -> Path:
        """Rows and tokens of each split that `train` has to see, and nothing of pairs: they are none of its rows."""
        return self.templated / "counts.json"

    @property
    def preview(self) -> Path:
        """Some rows with their trained tokens marked."""
        return self.templated / "preview.html"

    def distilled(self, split: str) -> Path:
        """What a teacher says of the tokens of `split`: the rows with its likelihoods."""
        return self.data / "distilled" / split

    def likelihoods(self, split: str) -> Path:
        """The record of every response about the tokens of `split`, kept from run to run."""
        return self.data / "likelihoods" / f"{split}.jsonl"

    @property
    def fitted(self) -> Path:
        """What the stage `train` made: the adapter or the model, `loss.csv` and `training.json`."""
        return self.data / "trained"

    @property
    def aligned(self) -> Path:
        """What the stage `align` made, in the same form; settings only where it is off."""
        return self.data / "aligned"

    @property
    def trained(self) -> Path:
        """What tuning ended with, for all stages after it: `aligned` where that holds a model, else `fitted`."""
        return self.aligned if (self.aligned / "training.json").is_file() else self.fitted

    def loss(self, tuned: Path) -> Path:
        """The loss by step of what a training left in `tuned`, which is `fitted` or `aligned`."""
        return tuned / "loss.csv"

    def samples(self, tuned: Path) -> Path:
        """What the model answered while it was trained, beside the loss; only where that was asked for."""
        return tuned / "samples.json"

    @property
    def guides(self) -> Path:
        """Reward models, reward functions and teachers that the stage `align` learns from."""
        return self.data / "guides"

    @property
    def adapters(self) -> Path:
        """Other adapters of the same base, a folder each, that the stage merge may combine with the trained one."""
        return self.data / "adapters"

    @property
    def starts(self) -> Path:
        """Adapters that the stages train and align may go on from, a folder each."""
        return self.data / "starts"

    @property
    def texts(self) -> Path:
        """Texts that the stage base may train a small model on."""
        return self.data / "texts"

    @property
    def merged(self) -> Path:
        """The tuned model as one Hugging Face folder."""
        return self.data / "merged"

    @property
    def schemes(self) -> Path:
        """Quantised models, a folder each."""
        return self.data / "quantized"

    def quantized(self, scheme: str) -> Path:
        """One quantised model."""
        return self.schemes / scheme

    def exported(self, form: str) -> Path:
        """The model as another place wants it."""
        return self.data / "exported" / form

    def evaluation(self, candidate: str) -> Path:
        """Scores and predictions of one candidate."""
        return self.data / "evaluation" / candidate

    @property
    def scoring(self) -> Path:
        """Schemas, functions and tasks of the user's own that score answers."""
        return self.data / "scoring"

    def judged(self, candidate: str) -> Path:
        """Verdicts of a judge on one candidate."""
        return self.data / "judged" / candidate

    def judgements(self, candidate: str) -> Path:
        """The record of every response of the judge of one candidate, kept from run to run."""
        return self.data / "judgements" / f"{candidate}.jsonl"

    @property
    def decision(self) -> Path:
        """`decision.json` and `comparisons.json`."""
        return self.data / "decision"

    @property
    def best(self) -> Path:
        """`scores.parquet`: the run that was promoted last, row by row."""
        return self.data / "best"

    @property
    def report(self) -> Path:
        """`report.html`, `predictions.html`, `model_card.md` and `comparison.json`."""
        return self.data / "report"

    @property
    def decided(self) -> Path:
        """Whether the model is worth shipping, and the rules that say so."""
        return self.decision / "decision.json"

    @property
    def comparisons(self) -> Path:
        """Every candidate compared with every other, row by row."""
        return self.decision / "comparisons.json"

    @property
    def comparison(self) -> Path:
        """Scores of every candidate with their intervals."""
        return self.report / "comparison.json"

    @property
    def page(self) -> Path:
        """The report, one file without outside resources."""
        return self.report / "report.html"

    @property
    def predictions(self) -> Path:
        """Every answer of every candidate, worst first."""
        return self.report / "predictions.html"

    @property
    def card(self) -> Path:
        """The model card."""
        return self.report / "model_card.md"

    @property
    def runs(self) -> Path:
        """All runs that git keeps, side by side."""
        return self.report / "runs.html"

    @property
    def pages(self) -> Path:
        """The report of each run, a folder each, with links to its flow run and its experiment."""
        return self.report / "runs"

    def kept(self) -> list[Path]:
        """The records of responses that are there."""
        folders = (self.judgements("*").parent, self.likelihoods("*").parent)
        return [*self.data.glob(self.responses.name), *(file for folder in folders for file in folder.glob("*.jsonl"))]

    @property
    def records(self) -> Path:
        """Records of responses that other runs of this project lent; they are looked up, and never written."""
        return self.scratch("records")

    @property
    def checkpoints(self) -> Path:
        """State of unfinished stages, outside all outs so that DVC does not remove it."""
        return self.data / "scratch"

    def scratch(self, key: str) -> Path:
        """State of one unfinished stage."""
        return self.checkpoints / key


PATHS = Paths()
"""Places of the current folder, which is the project's."""
