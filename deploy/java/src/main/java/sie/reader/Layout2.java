package sie.reader;

import static sie.reader.MessageException.require;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.complex.FixedSizeListVector;
import org.apache.arrow.vector.types.Types.MinorType;

/**
 * Layout 2 of the messages: what repeats, or follows from the rest, is left out. docs/formats.md describes it; this
 * gives the contract's columns back, to the bit.
 */
final class Layout2 {
    private static final String[] TYPES =
            {"impression", "view", "click", "cart", "favorite", "purchase", "return", "rating"};
    private static final List<String> SCORES =
            List.of("probability", "feature_score", "noise_probability", "weight", "uncertainty");
    private static final String LEFT = "f_normaliser";
    private static final int LABEL_UNKNOWN = 2;
    private static final int FINAL = 4;
    private static final double LOG_2 = 0.6931471805599453;
    private static final double SQRT_HALF = 0.7071067811865476;
    private static final ObjectReader JSON = JsonMapper.builder()
            .enable(
                    DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES,
                    DeserializationFeature.FAIL_ON_NULL_CREATOR_PROPERTIES,
                    DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
            .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
            .disable(MapperFeature.ALLOW_COERCION_OF_SCALARS)
            .build()
            .readerFor(Head.class);

    /** What all rows of a message have in common: the entry "layout" of the schema's metadata. */
    @JsonIgnoreProperties(ignoreUnknown = true)
    record Head(
            int version,
            String rows,
            int partition,
            long generation,
            String model_version,
            long offset,
            long time_ms,
            long delay_ms,
            List<String> numbers,
            List<String> zero) {}

    private Layout2() {}

    static List<Map<String, Object>> unpack(VectorSchemaRoot root, String text) throws IOException {
        Head head = JSON.readValue(text);
        require(head.version() == 2, "layout " + head.version() + " is none that is known here");
        boolean areWeights = head.rows().equals("weights");
        require(areWeights || head.rows().equals("samples"), "rows of " + head.rows() + " are none of ours");
        Matrix whole = Matrix.of(root, "whole", 0, MinorType.UINT4, MinorType.BIGINT);
        require(whole.width() == 2 || whole.width() == 3, "column whole of " + whole.width() + " numbers");
        Matrix codes = Matrix.of(root, "codes", areWeights ? 6 : 4, MinorType.UINT1, MinorType.INT);
        Matrix numbers = Matrix.of(root, "numbers", head.numbers().size(), MinorType.FLOAT4);
        check(head, areWeights, root.getRowCount());
        Contract contract = areWeights ? Contract.WEIGHTS : Contract.SAMPLES;
        Letters letters = new Letters(Matrix.of(root, "ids", 0, MinorType.UINT1).bytes(root.getRowCount()));
        List<Map<String, Object>> rows = new ArrayList<>();
        for (int at = 0; at < root.getRowCount(); at++) {
            String[] ids = new String[areWeights ? 3 : 1];
            for (int which = 0; which < ids.length; which++) {
                ids[which] = letters.next((int) codes.whole(at, 3 + which));
            }
            require(codes.whole(at, 0) >= 0 && codes.whole(at, 0) < TYPES.length, "event types that there are not");
            Map<String, Double> parts = numbers(head, numbers, at);
            Map<String, Object> row = areWeights
                    ? weights(head, ids, at, whole, codes, parts)
                    : samples(head, ids, at, whole, codes, parts, root);
            contract.check(row);
            rows.add(row);
        }
        require(letters.left() < Math.max(1, rows.size()), "ids that are not as long as they should be");
        return rows;
    }

    private static void check(Head head, boolean areWeights, int rows) throws MessageException {
        Set<String> names = new HashSet<>(head.numbers());
        require(names.containsAll(areWeights ? SCORES : SCORES.subList(0, 4)), "a column of numbers is missing");
        names.addAll(head.zero());
        names.add(LEFT);
        require(names.size() == head.numbers().size() + head.zero().size() + 1, "a number twice");
        require(names.size() <= Bounds.MOST_COLUMNS, "more than " + Bounds.MOST_COLUMNS + " numbers");
        require((long) rows * names.size() <= Bounds.MOST_CELLS, "more than " + Bounds.MOST_CELLS + " values");
    }

    private static Map<String, Object> weights(
            Head head, String[] ids, int at, Matrix whole, Matrix codes, Map<String, Double> numbers)
            throws MessageException {
        int code = (int) codes.whole(at, 1);
        boolean isKnown = code >= 0 && code <= FINAL + LABEL_UNKNOWN && code % FINAL <= LABEL_UNKNOWN;
        require(isKnown, "labels that there are not");
        Integer label = code % FINAL == LABEL_UNKNOWN ? null : Integer.valueOf(code % FINAL);
        Map<String, Object> row = identity(head, ids[0], at, whole, codes);
        row.put("final", code >= FINAL);
        row.put("generation", head.generation());
        row.put("model_version", head.model_version());
        times(head, at, whole, row, "published_ms");
        row.put("user_id", ids[1]);
        row.put("item_id", ids[2]);
        scores(row, label, numbers);
        return row;
    }

    private static Map<String, Object> samples(
            Head head, String[] ids, int at, Matrix whole, Matrix codes, Map<String, Double> numbers,
            VectorSchemaRoot root) throws MessageException {
        int label = (int) codes.whole(at, 1);
        require(label == 0 || label == 1, "labels that there are not");
        Map<String, Object> row = identity(head, ids[0], at, whole, codes);
        row.put("generation", head.generation());
        times(head, at, whole, row, "settled_ms");
        Map<String, Object> scored = new LinkedHashMap<>();
        scores(scored, label, numbers);
        // the hashes and features stand between the scores and the parts of log weight
        scored.forEach((name, value) -> row.put(name, value));
        scored.keySet().removeIf(name -> !name.startsWith("f_"));
        row.keySet().removeAll(scored.keySet());
        Matrix hashes = Matrix.of(root, "hashes", 3, MinorType.UINT8);
        String[] names = {"user_hash", "item_hash", "category_hash"};
        for (int which = 0; which < names.length; which++) {
            row.put(names[which], new BigInteger(Long.toUnsignedString(hashes.whole(at, which))));
        }
        row.put("features", Matrix.of(root, "features", 0, MinorType.UINT2, MinorType.UINT4).wholes(at));
        row.put("dense", Matrix.of(root, "dense", 0, MinorType.FLOAT4).reals(at));
        row.putAll(scored);
        return row;
    }

    private static Map<String, Object> identity(Head head, String eventId, int at, Matrix whole, Matrix codes) {
        Map<String, Object> row = new LinkedHashMap<>();
        row.put("event_id", eventId);
        row.put("event_type", TYPES[(int) codes.whole(at, 0)]);
        row.put("partition", head.partition());
        row.put("offset", whole.whole(at, 0) + head.offset());
        row.put("revision", (int) codes.whole(at, 2));
        return row;
    }

    private static void times(Head head, int at, Matrix whole, Map<String, Object> row, String known) {
        long time = whole.whole(at, 1) + head.time_ms();
        row.put("event_time_ms", time);
        row.put(known, time + (whole.width() == 3 ? whole.whole(at, 2) : head.delay_ms()));
    }

    private static void scores(Map<String, Object> row, Integer label, Map<String, Double> numbers) {
        row.put("label", label);
        row.put("probability", numbers.get("probability"));
        row.put("error", label == null ? null : Double.valueOf(label - numbers.get("probability")));
        numbers.forEach(row::putIfAbsent);
    }

    /** Scores and the parts of log weight; the one that is left out is what the others leave of it. */
    private static Map<String, Double> numbers(Head head, Matrix matrix, int at) throws MessageException {
        Map<String, Double> found = new LinkedHashMap<>();
        double left = Double.NaN;
        for (int which = 0; which < head.numbers().size(); which++) {
            String name = head.numbers().get(which);
            double value = matrix.real(at, which);
            found.put(name, value);
            if (name.equals("weight")) {
                require(value > 0.0 && value < Double.POSITIVE_INFINITY, "weights that are no positive numbers");
                left = log(value);
            } else if (name.startsWith("f_")) {
                left -= value;
            }
        }
        head.zero().forEach(name -> found.put(name, 0.0));
        found.put(LEFT, left);
        return ordered(found);
    }

    /** In the contract's order, and what it did not have when this was written behind. */
    private static Map<String, Double> ordered(Map<String, Double> found) {
        Map<String, Double> sorted = new LinkedHashMap<>();
        for (String name : new String[] {
            "probability", "feature_score", "noise_probability", "weight", "uncertainty", "f_noise", "f_delay",
            "f_balance", "f_score", "f_normaliser", "f_guard", "f_clip", "f_influence"
        }) {
            if (found.containsKey(name)) {
                sorted.put(name, found.get(name));
            }
        }
        found.forEach(sorted::putIfAbsent);
        return sorted;
    }

    /** Natural logarithm, of operations that every machine rounds alike: the one that the writer's rows have. */
    static double log(double value) {
        int exponent = Math.getExponent(value) + 1;
        double mantissa = Math.scalb(value, -exponent);
        if (mantissa < SQRT_HALF) {
            mantissa *= 2.0;
            exponent -= 1;
        }
        double ratio = (mantissa - 1.0) / (mantissa + 1.0);
        double square = ratio * ratio;
        double series = 0.0;
        for (int odd = 17; odd > 0; odd -= 2) {
            series = series * square + 1.0 / odd;
        }
        return exponent * LOG_2 + 2.0 * ratio * series;
    }

    /** The ids of all rows, one behind the other. */
    private static final class Letters {
        private final ByteBuffer letters;

        Letters(byte[] letters) {
            this.letters = ByteBuffer.wrap(letters);
        }

        String next(int length) throws IOException {
            require(length >= 0 && length <= letters.remaining(), "ids that are not as long as they should be");
            ByteBuffer id = letters.slice(letters.position(), length);
            letters.position(letters.position() + length);
            return StandardCharsets.UTF_8.newDecoder().decode(id).toString();
        }

        int left() {
            return letters.remaining();
        }
    }

    /** A column of lists of one length, a row per row; its numbers may be of several types. */
    private record Matrix(FieldVector values, int width) {
        /** Column {@code name}, of one of {@code types}; {@code width} 0: any. */
        static Matrix of(VectorSchemaRoot root, String name, int width, MinorType... types) throws MessageException {
            require(root.getVector(name) instanceof FixedSizeListVector, "column " + name + " is missing, or no list");
            FixedSizeListVector lists = (FixedSizeListVector) root.getVector(name);
            FieldVector values = lists.getDataVector();
            require(List.of(types).contains(values.getMinorType()), "column " + name + " has numbers of another type");
            require(width == 0 || width == lists.getListSize(), "column " + name + " of " + lists.getListSize());
            require(lists.getNullCount() == 0 && values.getNullCount() == 0, "column " + name + " has nulls");
            return new Matrix(values, lists.getListSize());
        }

        long whole(int row, int column) {
            long at = (long) row * width + column;
            ArrowBuf data = values.getDataBuffer();
            return switch (values.getMinorType()) {
                case UINT1 -> data.getByte(at) & 0xFF;
                case UINT2 -> data.getShort(2 * at) & 0xFFFF;
                case UINT4 -> data.getInt(4 * at) & 0xFFFFFFFFL;
                case INT -> data.getInt(4 * at);
                default -> data.getLong(8 * at);
            };
        }

        float real(int row, int column) {
            return values.getDataBuffer().getFloat(4L * ((long) row * width + column));
        }

        List<Object> wholes(int row) {
            List<Object> found = new ArrayList<>(width);
            for (int column = 0; column < width; column++) {
                found.add(whole(row, column));
            }
            return found;
        }

        List<Object> reals(int row) {
            List<Object> found = new ArrayList<>(width);
            for (int column = 0; column < width; column++) {
                found.add(real(row, column));
            }
            return found;
        }

        byte[] bytes(int rows) {
            byte[] found = new byte[rows * width];
            values.getDataBuffer().getBytes(0, found);
            return found;
        }
    }
}
