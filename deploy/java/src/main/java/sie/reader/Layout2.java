package sie.reader;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.complex.FixedSizeListVector;

/**
 * Layout 2 of the messages: what repeats, or follows from the rest, is left out. docs/formats.md describes it; this
 * gives the contract's columns back, to the bit.
 */
final class Layout2 {
    private static final String[] TYPES =
            {"impression", "view", "click", "cart", "favorite", "purchase", "return", "rating"};
    private static final int LABEL_UNKNOWN = 2;
    private static final int FINAL = 4;
    private static final double LOG_2 = 0.6931471805599453;
    private static final double SQRT_HALF = 0.7071067811865476;
    private static final ObjectMapper JSON = new ObjectMapper();

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
        Head head = JSON.readValue(text, Head.class);
        if (head.version() != 2) {
            throw new IOException("layout " + head.version() + " is none that is known here");
        }
        boolean areWeights = head.rows().equals("weights");
        Matrix whole = Matrix.of(root, "whole");
        Matrix codes = Matrix.of(root, "codes");
        Matrix numbers = Matrix.of(root, "numbers");
        byte[] letters = Matrix.of(root, "ids").bytes(root.getRowCount());
        int read = 0; // ids lie one behind the other
        List<Map<String, Object>> rows = new ArrayList<>();
        for (int at = 0; at < root.getRowCount(); at++) {
            String[] ids = new String[areWeights ? 3 : 1];
            for (int which = 0; which < ids.length; which++) {
                int length = (int) codes.whole(at, 3 + which);
                ids[which] = new String(letters, read, length, StandardCharsets.UTF_8);
                read += length;
            }
            Map<String, Double> parts = numbers(head, numbers, at);
            rows.add(areWeights
                    ? weights(head, ids, at, whole, codes, parts)
                    : samples(head, ids, at, whole, codes, parts, root));
        }
        return rows;
    }

    private static Map<String, Object> weights(
            Head head, String[] ids, int at, Matrix whole, Matrix codes, Map<String, Double> numbers) {
        int code = (int) codes.whole(at, 1);
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
            VectorSchemaRoot root) {
        Map<String, Object> row = identity(head, ids[0], at, whole, codes);
        row.put("generation", head.generation());
        times(head, at, whole, row, "settled_ms");
        Map<String, Object> scored = new LinkedHashMap<>();
        scores(scored, (int) codes.whole(at, 1), numbers);
        // the hashes and features stand between the scores and the parts of log weight
        scored.forEach((name, value) -> row.put(name, value));
        scored.keySet().removeIf(name -> !name.startsWith("f_"));
        row.keySet().removeAll(scored.keySet());
        Matrix hashes = Matrix.of(root, "hashes");
        String[] names = {"user_hash", "item_hash", "category_hash"};
        for (int which = 0; which < names.length; which++) {
            row.put(names[which], new BigInteger(Long.toUnsignedString(hashes.whole(at, which))));
        }
        row.put("features", Matrix.of(root, "features").wholes(at));
        row.put("dense", Matrix.of(root, "dense").reals(at));
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
    private static Map<String, Double> numbers(Head head, Matrix matrix, int at) {
        Map<String, Double> found = new LinkedHashMap<>();
        double left = Double.NaN;
        for (int which = 0; which < head.numbers().size(); which++) {
            String name = head.numbers().get(which);
            double value = matrix.real(at, which);
            found.put(name, value);
            left = name.equals("weight") ? log(value) : name.startsWith("f_") ? left - value : left;
        }
        head.zero().forEach(name -> found.put(name, 0.0));
        found.put("f_normaliser", left);
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

    /** A column of lists of one length, a row per row; its numbers may be of several types. */
    private record Matrix(FieldVector values, int width) {
        static Matrix of(VectorSchemaRoot root, String name) {
            if (!(root.getVector(name) instanceof FixedSizeListVector lists)) {
                throw new IllegalArgumentException("column " + name + " is missing, or no list");
            }
            return new Matrix(lists.getDataVector(), lists.getListSize());
        }

        long whole(int row, int column) {
            long at = (long) row * width + column;
            ArrowBuf data = values.getDataBuffer();
            return switch (values.getMinorType()) {
                case UINT1 -> data.getByte(at) & 0xFF;
                case UINT2 -> data.getShort(2 * at) & 0xFFFF;
                case UINT4 -> data.getInt(4 * at) & 0xFFFFFFFFL;
                case INT -> data.getInt(4 * at);
                case UINT8, BIGINT -> data.getLong(8 * at);
                default -> throw new IllegalArgumentException("numbers of type " + values.getMinorType());
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
